//! The contract of chartmesh: wire messages, journal bodies and the admin interface.
//!
//! Everything here is generated from the `.proto` files beside it; `README.md` specifies the
//! protocol. The feature `messages` gives plain prost messages for the pure core, `services` adds
//! tonic clients and servers and serde views of the admin messages for node and cli.
//!
//! Generated types have no `Debug`: a message may carry demographics, and what cannot be printed
//! cannot reach a log.

macro_rules! generated {
    ($(#[$doc:meta])* $name:ident, $package:literal) => {
        $(#[$doc])*
        #[allow(
            missing_docs,
            clippy::all,
            clippy::pedantic,
            unreachable_pub,
            reason = "generated; every field is documented in its .proto file"
        )]
        pub mod $name {
            /// First version of the package.
            pub mod v1 {
                include!(concat!(env!("OUT_DIR"), "/", $package, ".rs"));
            }
            pub use v1::*;
        }
    };
}

generated!(
    /// Signed bodies: statements and messages.
    body,
    "chartmesh.body.v1"
);
generated!(
    /// What nodes say to each other.
    peer,
    "chartmesh.peer.v1"
);
generated!(
    /// Journal record bodies.
    store,
    "chartmesh.store.v1"
);
generated!(
    /// What the daemon's own users say to it, over the admin socket.
    admin,
    "chartmesh.admin.v1"
);

/// Every message and service, encoded as a `google.protobuf.FileDescriptorSet`, for gRPC reflection.
#[cfg(feature = "services")]
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));
