//! Where the story plays: a folder with every node's directory, and the nodes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    args::DemoArgs,
    exit::{Exit, Failure},
    find,
};

use super::{
    actor::{Actor, Programs},
    people::Calendar,
    places::{self, BRIGID, HARBOR, MAPLE},
    seen::{Seen, unlike},
};

/// The folder of the story.
enum Root {
    Vanishes(TempDir),
    Stays(PathBuf),
}

/// The stage.
pub(super) struct Stage {
    root: Root,
    /// Every provider, in the order of [`places`].
    pub(super) actors: Vec<Actor>,
    /// When the story takes place.
    pub(super) calendar: Calendar,
}

impl Stage {
    /// Finds the programs and makes the folder.
    ///
    /// # Errors
    /// The daemon is not found, or the folder cannot be used.
    pub(super) fn new(args: &DemoArgs) -> Result<Self, Failure> {
        let programs = Programs {
            cli: std::env::current_exe().map_err(|error| {
                Failure::bug(format!("this program does not know its own path: {error}"))
            })?,
            daemon: find::find_daemon().map_err(|error| {
                Failure::new(
                    Exit::Unreachable,
                    "DAEMON_NOT_FOUND",
                    error.to_string(),
                    "install chartmeshd beside chartmesh, or name its folder in CHARTMESH_BIN",
                )
            })?,
        };
        let root = match &args.keep {
            Some(path) => Root::Stays(kept(path)?),
            None => Root::Vanishes(
                tempfile::Builder::new()
                    .prefix("chartmesh-demo-")
                    .tempdir()
                    .map_err(|error| Failure::file("made", &std::env::temp_dir(), &error))?,
            ),
        };
        let count = usize::try_from(args.nodes).unwrap_or(usize::MAX);
        let folder = root.path().to_owned();
        let actors = places::places(count)
            .into_iter()
            .map(|place| Actor::new(place, &folder, programs.clone()))
            .collect();
        Ok(Self {
            root,
            actors,
            calendar: Calendar::today(),
        })
    }

    /// A file of the story.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Maple Family Clinic.
    pub(super) fn maple(&self) -> &Actor {
        &self.actors[MAPLE]
    }

    /// St. Brigid Hospital.
    pub(super) fn brigid(&self) -> &Actor {
        &self.actors[BRIGID]
    }

    /// Harbor Urgent Care.
    pub(super) fn harbor(&self) -> &Actor {
        &self.actors[HARBOR]
    }

    /// Stops every daemon and removes the folder.
    ///
    /// # Errors
    /// A daemon did not stop clean, or something is left.
    pub(super) async fn end(mut self) -> Result<Seen<()>, Failure> {
        let mut first = None;
        let running = self.actors.iter().filter(|actor| actor.runs()).count();
        for actor in &mut self.actors {
            if let Err(failure) = actor.stop().await {
                first = first.or(Some(failure));
            }
        }
        let left = match self.root {
            Root::Stays(path) => format!("kept in {}", path.display()),
            Root::Vanishes(folder) => {
                let path = folder.path().to_owned();
                folder
                    .close()
                    .map_err(|error| Failure::file("removed", &path, &error))?;
                if path.exists() {
                    return Err(unlike(format!("{} is still there", path.display())));
                }
                "nothing left on disk".to_owned()
            }
        };
        match first {
            Some(failure) => Err(failure),
            None => Ok(Seen::new(
                format!("{running} running daemons ended clean, {left}"),
                (),
            )),
        }
    }
}

impl Root {
    fn path(&self) -> &Path {
        match self {
            Self::Vanishes(folder) => folder.path(),
            Self::Stays(path) => path,
        }
    }
}

/// A folder that the user names must be the story's own.
fn kept(path: &Path) -> Result<PathBuf, Failure> {
    let whole = std::path::absolute(path)
        .and_then(|whole| fs::create_dir_all(&whole).map(|()| whole))
        .map_err(|error| Failure::file("made", path, &error))?;
    let mut inside = fs::read_dir(&whole).map_err(|error| Failure::file("read", path, &error))?;
    if inside.next().is_some() {
        return Err(Failure::usage(
            format!("{} is not empty", path.display()),
            "name an empty folder, or one that does not exist",
        ));
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_folder_must_be_the_story_s_own() {
        let room = tempfile::tempdir().expect("a folder");
        assert!(kept(&room.path().join("absent")).is_ok());

        let failure = kept(room.path()).expect_err("not empty");

        assert_eq!(failure.exit, Exit::Usage);
    }
}
