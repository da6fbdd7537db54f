# Thin names over cargo; everything here can be typed without just.

# Start the mesh in this terminal.
up *ARGS:
    cargo mesh up {{ARGS}}

# Feed order files through the gateway and print the books.
demo *FILES:
    cargo mesh demo {{FILES}}

# Run all CI checks.
test *FILTER:
    cargo mesh test {{FILTER}}

# Kill every process once while orders run, and compare the books.
verify *FILES:
    cargo mesh verify orders {{FILES}}

# Run an official suite: connect, openapi, protobuf or showcase.
conformance SUITE:
    cargo xtask conformance {{SUITE}}

# Measure the transcoder beside its peers.
bench *ARGS:
    cargo xtask bench transcoder {{ARGS}}

# Rewrite the offline data of one crate's SQL: events, eventsourcing, saga, ingest, inventory, orders or payments.
sqlx CRATE:
    cargo xtask sqlx {{CRATE}}

# Lint the protos and generate clients in other languages into gen/.
protos:
    buf lint
    buf generate
