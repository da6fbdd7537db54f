//! Generates the contract of the trail from `proto/`.

fn main() -> Result<(), codegen::Error> {
    codegen::Builder::new("proto").without_facade().generate()
}
