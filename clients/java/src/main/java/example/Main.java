package example;

import com.google.api.HttpBody;
import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.ingest.v1.CreateImportRequest;
import com.ingest.v1.Import;
import com.ingest.v1.IngestServiceGrpc;
import com.ingest.v1.UploadImportRequest;
import com.orders.v1.GetOrderRequest;
import com.orders.v1.Order;
import com.orders.v1.OrderLine;
import com.orders.v1.OrdersServiceGrpc;
import com.orders.v1.OrdersServiceGrpc.OrdersServiceBlockingV2Stub;
import com.orders.v1.PlaceOrderRequest;
import com.orders.v1.WatchOrderRequest;
import com.orders.v1.WatchOrderResponse;
import io.grpc.CallCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.AbstractStub;
import io.grpc.stub.BlockingClientCall;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;

/**
 * Calls the order-to-cash mesh by gRPC: Main HOST:PORT FILE. Places an order, repeats it, watches it, uploads a file,
 * and reads the details of errors.
 */
public final class Main {
  /** Bytes of a file in one message of an upload. */
  private static final int CHUNK = 64 * 1024;

  /** Seconds for a call that is not a stream, with its retries. */
  private static final long DEADLINE = 20;

  /** Repeating PlaceOrder is safe: its request_id makes both calls the same order. */
  private static final Map<String, ?> RETRIES =
      Map.of(
          "methodConfig",
          List.of(
              Map.of(
                  "name", List.of(Map.of("service", "orders.v1.OrdersService")),
                  "retryPolicy",
                      Map.of(
                          "maxAttempts", 5.0,
                          "initialBackoff", "0.1s",
                          "maxBackoff", "2s",
                          "backoffMultiplier", 2.0,
                          "retryableStatusCodes", List.of("UNAVAILABLE")))));

  private Main() {}

  public static void main(String[] arguments) throws Exception {
    ManagedChannel channel =
        Grpc.newChannelBuilder(arguments[0], InsecureChannelCredentials.create())
            .defaultServiceConfig(RETRIES)
            .enableRetry()
            .build();
    try {
      OrdersServiceBlockingV2Stub orders = authorized(OrdersServiceGrpc.newBlockingV2Stub(channel));
      placeAndWatch(orders);
      upload(authorized(IngestServiceGrpc.newBlockingV2Stub(channel)), Path.of(arguments[1]));
      showErrors(orders);
    } finally {
      channel.shutdown().awaitTermination(DEADLINE, TimeUnit.SECONDS);
    }
  }

  /** Sends a token with every call, if there is one. */
  private static <S extends AbstractStub<S>> S authorized(S stub) {
    String token = System.getenv("MESH_TOKEN");
    return token == null ? stub : stub.withCallCredentials(new Bearer(token));
  }

  private static OrdersServiceBlockingV2Stub brief(OrdersServiceBlockingV2Stub orders) {
    return orders.withDeadlineAfter(DEADLINE, TimeUnit.SECONDS);
  }

  private static PlaceOrderRequest.Builder newOrder(String requestId) {
    OrderLine line =
        OrderLine.newBuilder()
            .setSku("POST")
            .setDescription("POSTAGE")
            .setQuantity(1)
            .setUnitPriceMinor(1800)
            .setCharge(true)
            .build();
    return PlaceOrderRequest.newBuilder()
        .setRequestId(requestId)
        .setAccountId("17850")
        .setPlacedAt("2010-12-01T08:26:00")
        .setCurrencyCode("GBP")
        .addLines(line);
  }

  private static void placeAndWatch(OrdersServiceBlockingV2Stub orders) throws Exception {
    PlaceOrderRequest request = newOrder(UUID.randomUUID().toString()).build();
    Order order = brief(orders).placeOrder(request).getOrder();
    System.out.println("placed " + order.getOrderId());
    Order again = brief(orders).placeOrder(request).getOrder();
    System.out.println("repeated " + again.getOrderId());
    WatchOrderRequest watched = WatchOrderRequest.newBuilder().setOrderId(order.getOrderId()).build();
    BlockingClientCall<?, WatchOrderResponse> watch = orders.watchOrder(watched);
    for (WatchOrderResponse message = watch.read(); message != null; message = watch.read()) {
      System.out.println("watched " + message.getOrder().getState());
    }
  }

  private static void upload(IngestServiceGrpc.IngestServiceBlockingV2Stub ingest, Path file) throws Exception {
    byte[] content = Files.readAllBytes(file);
    String digest = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(content));
    CreateImportRequest create =
        CreateImportRequest.newBuilder()
            .setRequestId(digest)
            .setSource("online-retail")
            .setFileName(file.getFileName().toString())
            .setSizeBytes(content.length)
            .setSha256(digest)
            .build();
    // Of a broken upload, the import knows how many bytes arrived.
    Import begun = ingest.withDeadlineAfter(DEADLINE, TimeUnit.SECONDS).createImport(create).getImport();
    long received = begun.getReceivedBytes();
    if (received < content.length) {
      var call = ingest.uploadImport();
      for (int offset = (int) received; offset < content.length; offset += CHUNK) {
        int length = Math.min(CHUNK, content.length - offset);
        HttpBody body = HttpBody.newBuilder().setData(ByteString.copyFrom(content, offset, length)).build();
        UploadImportRequest message =
            UploadImportRequest.newBuilder()
                .setImportId(begun.getImportId())
                .setOffset(offset)
                .setContent(body)
                .build();
        if (!call.write(message)) {
          break; // The response has the reason.
        }
      }
      call.halfClose();
      received = call.read().getImport().getReceivedBytes();
    }
    System.out.println("uploaded " + begun.getImportId() + " " + received);
  }

  private static void showErrors(OrdersServiceBlockingV2Stub orders) throws Exception {
    PlaceOrderRequest invalid = newOrder("").setCurrencyCode("pounds").build();
    GetOrderRequest missing = GetOrderRequest.newBuilder().setOrderId(UUID.randomUUID().toString()).build();
    try {
      brief(orders).placeOrder(invalid);
    } catch (StatusException refused) {
      show(refused);
    }
    try {
      brief(orders).getOrder(missing);
    } catch (StatusException refused) {
      show(refused);
    }
  }

  private static void show(StatusException refused) throws InvalidProtocolBufferException {
    System.out.println("refused " + refused.getStatus().getCode());
    com.google.rpc.Status status = StatusProto.fromThrowable(refused);
    for (Any detail : status.getDetailsList()) {
      if (detail.is(ErrorInfo.class)) {
        System.out.println("reason " + detail.unpack(ErrorInfo.class).getReason());
      } else if (detail.is(BadRequest.class)) {
        for (BadRequest.FieldViolation violation : detail.unpack(BadRequest.class).getFieldViolationsList()) {
          System.out.println("field " + violation.getField() + " " + violation.getDescription());
        }
      }
    }
  }

  /** A token as credentials of a call. */
  private static final class Bearer extends CallCredentials {
    private static final Metadata.Key<String> AUTHORIZATION =
        Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

    private final String token;

    private Bearer(String token) {
      this.token = token;
    }

    @Override
    public void applyRequestMetadata(RequestInfo call, Executor executor, MetadataApplier applier) {
      Metadata headers = new Metadata();
      headers.put(AUTHORIZATION, "Bearer " + token);
      applier.apply(headers);
    }
  }
}
