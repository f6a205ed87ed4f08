//! chartmeshd.
fn main() {}
