// Command consumer reads the facts of one context and appends each to a file, once and in the
// order of its key. docs/guides/read-facts.md explains the envelope and where the flags come from.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// pull is how long one request for the next fact waits.
const pull = 5 * time.Second

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	url := flag.String("url", "", "nats://USER:PASSWORD@HOST:PORT")
	stream := flag.String("stream", "", "stream of the context, such as EVT_INGEST")
	durable := flag.String("consumer", "", "durable consumer; its name is also the user's")
	contractFile := flag.String("contract", "", "file with a FileDescriptorSet")
	effectsFile := flag.String("effects", "", "file to append to")
	flag.Parse()

	contract, err := loadContract(*contractFile)
	if err != nil {
		return fmt.Errorf("contract: %w", err)
	}
	effects, err := openEffects(*effectsFile)
	if err != nil {
		return fmt.Errorf("effects: %w", err)
	}
	defer effects.Close()
	// The user may subscribe to inboxes of its own only.
	broker, err := nats.Connect(*url, nats.CustomInboxPrefix("_INBOX_"+*durable))
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer broker.Close()
	js, err := jetstream.New(broker)
	if err != nil {
		return err
	}
	consumer, err := js.Consumer(ctx, *stream, *durable)
	if err != nil {
		return fmt.Errorf("consumer %s of %s: %w", *durable, *stream, err)
	}
	return consume(ctx, consumer, contract, effects)
}

// consume applies facts one after another: the durable consumer has one unacknowledged message at
// most.
func consume(ctx context.Context, consumer jetstream.Consumer, contract *contract, effects *effects) error {
	for ctx.Err() == nil {
		message, err := consumer.Next(jetstream.FetchMaxWait(pull))
		if errors.Is(err, nats.ErrTimeout) {
			continue
		}
		if err != nil {
			return fmt.Errorf("pulling: %w", err)
		}
		fact, err := read(message, contract)
		if err != nil {
			return err
		}
		isNew, err := effects.Apply(fact)
		if err != nil {
			return fmt.Errorf("applying %s: %w", fact.ID, err)
		}
		if isNew {
			fmt.Fprintln(os.Stdout, fact.Type, fact.Key, fact.Version)
		}
		// Only now: a crash before it brings the fact again, which is then recognised.
		if err := message.DoubleAck(ctx); err != nil && ctx.Err() == nil {
			return fmt.Errorf("acknowledging: %w", err)
		}
	}
	return nil
}
