//! The binary: a runtime around [`chartmesh_cli::run`].

use std::process::ExitCode;

fn main() -> ExitCode {
    let words = std::env::args_os().collect();
    match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(chartmesh_cli::run(words)),
        Err(error) => {
            eprintln!("error: the runtime does not start: {error}");
            ExitCode::from(70)
        }
    }
}
