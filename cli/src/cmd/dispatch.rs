//! Which command does what.

use crate::{
    args::{Cli, Command},
    connect::Node,
    demo,
    exit::Failure,
    print::Screen,
};

use super::{
    audit, backup, consent, doctor, document, documents, fetch, import, init, locate, network,
    patient, sample, status,
};

/// Runs the command.
///
/// # Errors
/// As the command says.
pub(crate) async fn dispatch(cli: Cli, screen: &Screen) -> Result<(), Failure> {
    if let Command::Demo(args) = cli.command {
        return demo::run(args, screen).await;
    }
    if let Command::Sample(args) = &cli.command {
        return sample::run(args, screen);
    }
    let node = Node::new(cli.globals.node)?;
    match cli.command {
        Command::Demo(args) => demo::run(args, screen).await,
        Command::Sample(args) => sample::run(&args, screen),
        Command::Init(args) => init::run(args, &node, screen).await,
        Command::Network(command) => network::run(command, &node, screen).await,
        Command::Status => status::status(&node, screen).await,
        Command::Peers => status::peers(&node, screen).await,
        Command::Import(args) => import::run(args, &node, screen).await,
        Command::Patient(command) => patient::run(command, &node, screen).await,
        Command::Document(command) => document::run(command, &node, screen).await,
        Command::Locate(args) => locate::run(*args, &node, screen).await,
        Command::Documents(args) => documents::run(args, &node, screen).await,
        Command::Fetch(args) => fetch::run(args, &node, screen).await,
        Command::Consent(command) => consent::run(*command, &node, screen).await,
        Command::Audit(command) => audit::run(command, &node, screen).await,
        Command::Doctor(args) => doctor::run(args, &node, screen).await,
        Command::Backup(args) => backup::backup(args, &node, screen).await,
        Command::RecoverySheet(args) => backup::sheet(&args, &node, screen).await,
        Command::Restore(args) => backup::restore(args, &node, screen).await,
        Command::Config(command) => status::config(&command, &node, screen).await,
    }
}
