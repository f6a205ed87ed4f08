//! Library of the node daemon.
