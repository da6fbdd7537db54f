//! Generates the contract of the sources from `proto/`.

fn main() -> Result<(), codegen::Error> {
    codegen::Builder::new("proto").without_facade().generate()
}
