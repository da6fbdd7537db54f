//! The contracts of all processes of the mesh: those of its services, and that of mesh-connect.

/// Encoded sets of descriptors.
pub const DESCRIPTOR_SETS: [&[u8]; 2] = [protos::FILE_DESCRIPTOR_SET, connect::FILE_DESCRIPTOR_SET];

/// Returns the paths of all methods.
pub fn methods() -> impl Iterator<Item = &'static str> {
    let all = protos::METHODS.iter().chain(connect::METHODS);
    all.map(|method| method.path)
}
