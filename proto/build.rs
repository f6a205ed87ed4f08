//! Compiles the `.proto` files with protox, so that no `protoc` is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=chartmesh");
    let files = protox::compile(
        [
            "chartmesh/v1/body.proto",
            "chartmesh/v1/peer.proto",
            "chartmesh/v1/store.proto",
            "chartmesh/v1/admin.proto",
        ],
        ["."],
    )?;
    // For gRPC reflection on the admin socket.
    let described = std::path::PathBuf::from(std::env::var("OUT_DIR")?).join("descriptor.bin");
    std::fs::write(described, prost::Message::encode_to_vec(&files))?;
    let mut config = prost_build::Config::new();
    // Order must not depend on a hasher anywhere.
    config.skip_debug(["."]);
    config.btree_map(["."]);
    // Ciphertext goes through as it came, without a copy.
    config.bytes([".chartmesh.peer.v1.Chunk.data"]);
    if std::env::var_os("CARGO_FEATURE_SERVICES").is_some() {
        config.type_attribute(".chartmesh.admin.v1", "#[derive(::serde::Serialize)]");
        // `self` is no Rust name; in JSON it is the contract's.
        config.field_attribute(
            ".chartmesh.admin.v1.MemberLine.self",
            "#[serde(rename = \"self\")]",
        );
        config.enable_type_names();
        tonic_prost_build::configure().compile_fds_with_config(files, config)?;
    } else {
        config.compile_fds(files)?;
    }
    Ok(())
}
