//! Generates the contract of the desk from `proto/`.

fn main() -> Result<(), codegen::Error> {
    codegen::Builder::new("proto").without_facade().generate()
}
