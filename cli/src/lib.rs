//! chartmesh library.
