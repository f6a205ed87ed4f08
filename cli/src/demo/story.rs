//! The order of the steps.

use tokio::signal::unix::{SignalKind, signal};

use crate::{args::DemoArgs, exit::Failure, print::Screen};

use super::{asking, consenting, founding, proof, seen::Seen, stage::Stage, steps::Steps};

/// Tells the story.
///
/// # Errors
/// A step was not true, or the stage cannot be set up.
pub(crate) async fn run(args: DemoArgs, screen: &Screen) -> Result<(), Failure> {
    let mut stage = Stage::new(&args)?;
    let mut steps = Steps::new(screen, args.pace);
    screen.line(
        "Rosa Delgado, 72, stands in Harbor Urgent Care with a dog bite. Harbor knows nothing of\n\
         her, and is about to give amoxicillin-clavulanate. (Invented people, test data.)\n",
    )?;
    let told = tokio::select! {
        told = tell(&mut stage, &mut steps) => told,
        () = signalled() => None,
    };
    let end = stage.end();
    steps
        .tell("every process ended, nothing left behind", end)
        .await;
    if told.is_none() && steps.all_true() {
        let stop = async { Err::<Seen<()>, _>(proof::interrupted()) };
        steps.tell("the story was told to its end", stop).await;
    }
    steps.end()
}

/// Returns when somebody wants the story to stop; never, where that cannot be known.
async fn signalled() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// The steps in their order; none where one was not true.
async fn tell(stage: &mut Stage, steps: &mut Steps<'_>) -> Option<()> {
    steps
        .tell(
            "a daemon and a key for each, no server",
            founding::daemons(stage),
        )
        .await?;
    steps
        .tell("Maple founds a network (opt-in)", founding::network(stage))
        .await?;
    steps
        .tell("the others join by ticket", founding::joining(stage))
        .await?;
    steps
        .tell("each imports its own records", founding::records(stage))
        .await?;
    let ledger = steps
        .tell("Harbor asks who knows Rosa", asking::first(stage))
        .await?;
    steps
        .tell(
            "nothing leaves without permission",
            consenting::denied(stage, &ledger),
        )
        .await?;
    let (at_maple, at_brigid) = steps
        .tell("Rosa consents at both holders", consenting::granted(stage))
        .await?;
    let read = steps
        .tell("Harbor reads", consenting::read(stage, &ledger))
        .await?;
    steps
        .tell(
            "who learned that Rosa was asked about",
            asking::who_learned(stage, &ledger),
        )
        .await?;
    steps
        .tell("Maple is killed", asking::without_maple(stage))
        .await?;
    let ledger = steps
        .tell("Maple comes back", asking::with_maple_again(stage))
        .await?;
    steps
        .tell(
            "next morning Rosa revokes at St. Brigid",
            consenting::revoked(stage, &ledger, &at_brigid, &read),
        )
        .await?;
    steps
        .tell(
            "the accounting is equal at both ends",
            proof::accounting(stage, &at_maple, &at_brigid, &read),
        )
        .await?;
    steps
        .tell(
            "the logs verify, one changed byte does not",
            proof::verified(stage),
        )
        .await
}
