//! The mesh over WebSocket: an order is watched until it is settled, and a file is uploaded frame
//! by frame.

use anyhow::{Context, Result};
use futures::{SinkExt, StreamExt};
use integration_tests::{
    Mesh,
    import::{HEADER, received},
    order::PLACED_AT,
    unique,
};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_watched_over_a_websocket() -> Result<()> {
    let mesh = Mesh::reach().await?;
    let sku = unique("A");
    mesh.count(&sku, 100).await?;
    let order = json!({
        "requestId": unique("order"), "accountId": "17850", "placedAt": PLACED_AT, "currencyCode": "GBP",
        "lines": [{"sku": sku, "description": "LANTERN", "quantity": 6, "unitPriceMinor": "255"}],
    });
    let placed = mesh.http()?.post("/v1/orders", &order).await?.json()?;
    let order_id = placed["orderId"].as_str().context("an order")?;
    let mut socket = connect(&mesh, &format!("/v1/orders/{order_id}:watch")).await?;
    let (texts, code) = drain(&mut socket).await?;
    let last: Value = serde_json::from_str(texts.last().context("a message")?)?;
    assert_eq!(last["state"], "ORDER_STATE_PAID");
    assert_eq!(code, 1000);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_goes_in_frame_by_frame() -> Result<()> {
    let mesh = Mesh::reach().await?;
    let rows = "536365,A,LANTERN,6,2010-12-01 08:26:00,2.55,17850,United Kingdom\n";
    let file = format!("{HEADER}{rows}");
    let import = mesh.announce(&unique("frames"), file.as_bytes()).await?;
    let mut socket = connect(&mesh, &format!("/v1/imports/{import}:upload")).await?;
    for piece in file.as_bytes().chunks(10) {
        socket.send(Message::Binary(piece.to_vec().into())).await?;
    }
    // The end of the file; a close frame would abort the upload.
    socket.send(Message::text("")).await?;
    let (texts, code) = drain(&mut socket).await?;
    let answer: Value = serde_json::from_str(texts.first().context("an answer")?)?;
    assert_eq!((received(&answer)?, code), (file.len(), 1000));
    Ok(())
}

async fn connect(mesh: &Mesh, path: &str) -> Result<WebSocketStream<TcpStream>> {
    let address = mesh.gateway()?;
    let stream = TcpStream::connect(address).await?;
    let (socket, _) =
        tokio_tungstenite::client_async(format!("ws://{address}{path}"), stream).await?;
    Ok(socket)
}

/// Returns all text until the gateway closes, and the close code.
async fn drain(socket: &mut WebSocketStream<TcpStream>) -> Result<(Vec<String>, u16)> {
    let mut texts = Vec::new();
    while let Some(message) = socket.next().await {
        match message? {
            Message::Text(text) => texts.push(text.to_string()),
            Message::Close(frame) => {
                return Ok((texts, frame.context("a close code")?.code.into()));
            }
            _ => {}
        }
    }
    anyhow::bail!("the connection broke behind {texts:?}")
}
