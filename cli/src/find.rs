//! Finds the programs that belong together, by one rule for the demo, `--once` and the tests, so
//! that a stale binary cannot pass.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Why a program was not found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// `$CHARTMESH_BIN` names a folder without it.
    #[error("{program} is not in {folder}, which $CHARTMESH_BIN names")]
    NotInFolder {
        /// The program.
        program: &'static str,
        /// The folder.
        folder: PathBuf,
    },
    /// Cargo could not build it.
    #[error("cargo could not build {program}")]
    NotBuilt {
        /// The program.
        program: &'static str,
    },
    /// Cargo could not be started.
    #[error("cargo could not be started")]
    NoCargo(#[source] io::Error),
    /// It is nowhere.
    #[error("{program} is neither beside this program nor on the PATH")]
    Nowhere {
        /// The program.
        program: &'static str,
    },
}

/// Finds the daemon: in `$CHARTMESH_BIN`, else under cargo by building it in the profile of the
/// running program, else beside the running program, else on the `PATH`.
///
/// # Errors
/// It is not where it has to be.
pub fn find_daemon() -> Result<PathBuf, FindError> {
    Surroundings::of_this_process().find("chartmeshd")
}

/// Finds the command line, by the same rule as [`find_daemon`].
///
/// # Errors
/// It is not where it has to be.
pub fn find_cli() -> Result<PathBuf, FindError> {
    Surroundings::of_this_process().find("chartmesh")
}

/// What decides where to look.
struct Surroundings {
    folder: Option<OsString>,
    cargo: Option<OsString>,
    manifest: Option<OsString>,
    running: Option<PathBuf>,
    path: Option<OsString>,
}

impl Surroundings {
    fn of_this_process() -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            folder: variable("CHARTMESH_BIN"),
            cargo: variable("CARGO"),
            manifest: variable("CARGO_MANIFEST_DIR"),
            running: std::env::current_exe().ok(),
            path: variable("PATH"),
        }
    }

    fn find(&self, program: &'static str) -> Result<PathBuf, FindError> {
        if let Some(folder) = &self.folder {
            let folder = PathBuf::from(folder);
            let found = folder.join(program);
            return if is_program(&found) {
                Ok(absolute(found))
            } else {
                Err(FindError::NotInFolder { program, folder })
            };
        }
        if let (Some(cargo), Some(manifest)) = (&self.cargo, &self.manifest)
            && is_ours(manifest)
        {
            return self.build(cargo, manifest, program);
        }
        let beside = self.running.as_deref().and_then(Path::parent);
        beside
            .map(|folder| folder.join(program))
            .into_iter()
            .chain(
                self.path
                    .iter()
                    .flat_map(|path| std::env::split_paths(path).collect::<Vec<_>>())
                    .map(|folder| folder.join(program)),
            )
            .find(|candidate| is_program(candidate))
            .map(absolute)
            .ok_or(FindError::Nowhere { program })
    }

    /// Cargo's messages name the file it made, wherever its target directory is.
    fn build(
        &self,
        cargo: &OsStr,
        manifest: &OsStr,
        program: &'static str,
    ) -> Result<PathBuf, FindError> {
        let mut command = Command::new(cargo);
        command
            .args(["build", "--quiet", "--workspace", "--bin", program])
            .args(["--message-format", "json-render-diagnostics"])
            .args(["--profile", self.profile()])
            .current_dir(manifest)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        let output = command.output().map_err(FindError::NoCargo)?;
        if !output.status.success() {
            return Err(FindError::NotBuilt { program });
        }
        executable(&output.stdout, program).ok_or(FindError::NotBuilt { program })
    }

    /// Cargo names a profile's folder after the profile, but for `dev`.
    fn profile(&self) -> &str {
        let folders = self
            .running
            .iter()
            .flat_map(|path| path.ancestors().skip(1));
        folders
            .filter_map(|folder| folder.file_name()?.to_str())
            .find(|name| !matches!(*name, "deps" | "examples"))
            .map_or("dev", |name| if name == "debug" { "dev" } else { name })
    }
}

/// Whether cargo runs this workspace: somebody else's cargo may run a program that runs us.
fn is_ours(manifest: &OsStr) -> bool {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    workspace.is_some_and(|workspace| Path::new(manifest).starts_with(workspace))
}

fn executable(messages: &[u8], program: &str) -> Option<PathBuf> {
    messages
        .split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == program)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn a_named_folder_wins_and_is_not_left() {
        let room = tempfile::tempdir().expect("a folder");
        let named = program(room.path(), "named", "chartmeshd");
        let beside = program(room.path(), "beside", "chartmeshd");
        let mut here = nowhere();
        here.running = Some(beside.with_file_name("chartmesh"));
        here.folder = named.parent().map(OsString::from);

        assert_eq!(here.find("chartmeshd").ok(), Some(named.clone()));

        fs::remove_file(named).expect("removed");
        assert!(matches!(
            here.find("chartmeshd"),
            Err(FindError::NotInFolder { .. })
        ));
    }

    #[test]
    fn beside_the_running_program_comes_before_the_path() {
        let room = tempfile::tempdir().expect("a folder");
        let beside = program(room.path(), "beside", "chartmeshd");
        let path = program(room.path(), "path", "chartmeshd");
        let mut here = nowhere();
        here.running = Some(beside.with_file_name("chartmesh"));
        here.path = path.parent().map(OsString::from);

        assert_eq!(here.find("chartmeshd").ok(), Some(beside.clone()));

        fs::remove_file(beside).expect("removed");
        assert_eq!(here.find("chartmeshd").ok(), Some(path));
    }

    #[test]
    fn a_file_that_cannot_run_is_no_program() {
        let room = tempfile::tempdir().expect("a folder");
        let path = program(room.path(), "path", "chartmeshd");
        let mut here = nowhere();
        here.path = path.parent().map(OsString::from);
        assert_eq!(here.find("chartmeshd").ok(), Some(path.clone()));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("changed");

        assert!(matches!(
            here.find("chartmeshd"),
            Err(FindError::Nowhere { .. })
        ));
    }

    #[test]
    fn under_cargo_the_program_is_built_and_a_stale_one_ignored() {
        let room = tempfile::tempdir().expect("a folder");
        let stale = program(room.path(), "debug", "chartmeshd");
        let cargo = script(
            room.path(),
            "cargo",
            "#!/bin/sh\nprintf '%s\\n' '{\"target\":{\"name\":\"chartmeshd\"},\"executable\":\"/built/chartmeshd\"}'\n",
        );
        let mut here = nowhere();
        here.running = Some(stale.with_file_name("chartmesh"));
        here.cargo = Some(cargo.into());
        here.manifest = Some(env!("CARGO_MANIFEST_DIR").into());

        assert_eq!(
            here.find("chartmeshd").ok(),
            Some(PathBuf::from("/built/chartmeshd"))
        );

        here.cargo = Some(script(room.path(), "broken", "#!/bin/sh\nexit 101\n").into());
        assert!(matches!(
            here.find("chartmeshd"),
            Err(FindError::NotBuilt { .. })
        ));
    }

    #[test]
    fn another_workspace_s_cargo_builds_nothing() {
        let room = tempfile::tempdir().expect("a folder");
        let beside = program(room.path(), "beside", "chartmeshd");
        let mut here = nowhere();
        here.running = Some(beside.with_file_name("chartmesh"));
        here.cargo = Some(script(room.path(), "broken", "#!/bin/sh\nexit 101\n").into());
        here.manifest = Some(env!("CARGO_MANIFEST_DIR").into());
        assert!(here.find("chartmeshd").is_err());

        here.manifest = Some(room.path().into());

        assert_eq!(here.find("chartmeshd").ok(), Some(beside));
    }

    #[test]
    fn the_profile_is_that_of_the_running_program() {
        let mut here = nowhere();
        for (running, profile) in [
            ("/w/target/debug/chartmesh", "dev"),
            ("/w/target/debug/deps/e2e-0123", "dev"),
            ("/w/target/release/chartmesh", "release"),
            (
                "/w/target/x86_64-unknown-linux-gnu/bench/chartmesh",
                "bench",
            ),
        ] {
            here.running = Some(PathBuf::from(running));
            assert_eq!(here.profile(), profile, "{running}");
        }
    }

    fn nowhere() -> Surroundings {
        Surroundings {
            folder: None,
            cargo: None,
            manifest: None,
            running: None,
            path: None,
        }
    }

    fn program(room: &Path, folder: &str, name: &str) -> PathBuf {
        let folder = room.join(folder);
        fs::create_dir_all(&folder).expect("a folder");
        script(&folder, name, "#!/bin/sh\n")
    }

    fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made runnable");
        path
    }
}
