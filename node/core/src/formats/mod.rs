//! TODO: formats
