//! `cargo xtask conformance`: runs official suites against this checkout.

mod connect;
mod openapi;
mod protobuf;
mod report;
mod showcase;
mod validate;

use std::process::ExitCode;

use anyhow::Result;
use mesh::ui::Ui;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// The official suite of Connect, gRPC and gRPC-Web, sent to the gateway before the suite's
    /// reference server
    Connect(connect::Args),
    /// The server that this suite starts: the gateway, configured by a request on standard input
    #[command(hide = true)]
    ConnectUnderTest(connect::UnderTest),
    /// OpenAPI documents of the contracts, checked by the official validator, their examples by
    /// their schemas, and the gateway by Schemathesis in each dialect
    Openapi(Args),
    /// Protobuf's own suite: binary and JSON, proto2, proto3 and editions, required and recommended
    /// cases
    Protobuf(Args),
    /// The REST compliance suite of gapic-showcase, sent to the gateway before its server
    Showcase(Args),
    /// Protovalidate's own suite, also with strict words and strict errors
    Validate(Args),
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn conformance(verb: Verb) -> Result<ExitCode> {
    let ui = Ui::detect();
    let passed = match verb {
        Verb::Connect(args) => connect::connect(ui, args).await?,
        Verb::ConnectUnderTest(args) => {
            connect::under_test(&args).await?;
            true
        }
        Verb::Openapi(args) => openapi::openapi(ui, args.json).await?,
        Verb::Protobuf(args) => protobuf::protobuf(ui, args.json)?,
        Verb::Showcase(args) => showcase::showcase(ui, args.json).await?,
        Verb::Validate(args) => validate::validate(ui, args.json)?,
    };
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
