//! chartmesh.
fn main() {}
