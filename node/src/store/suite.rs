//! What every engine must do, run over each.
