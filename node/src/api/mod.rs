//! What the node serves: to peers over libp2p streams. Handlers decide nothing; they turn a request
//! into the call of a service and its outcome into a status.

pub mod peer;
