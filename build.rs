//! Generates the contracts of the mesh from `proto/`.

fn main() -> Result<(), codegen::Error> {
    codegen::Builder::new("proto").without_facade().generate()
}
