//! TODO: exchange
