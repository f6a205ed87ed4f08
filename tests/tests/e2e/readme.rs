//! The README's walkthrough, as it stands there.

use std::{fs, path::Path, process::Command};

use crate::{node::programs_folder, world::World};

/// Whoever pastes the README's blocks into bash sees what the README says, and nothing stays behind.
#[test]
fn the_walkthrough_of_the_readme_runs_as_written() {
    let world = World::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a workspace");
    let readme = fs::read_to_string(root.join("README.md")).expect("a README");
    let by_hand = readme
        .split("## By hand")
        .nth(1)
        .and_then(|rest| rest.split("\n## ").next());
    let pasted: String = by_hand
        .expect("a walkthrough")
        .split("```bash\n")
        .skip(1)
        .filter_map(|block| block.split("```").next())
        // Built they are; everything else is pasted as it is.
        .flat_map(|block| {
            block
                .lines()
                .filter(|line| !line.starts_with("cargo build "))
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let script = world.file("walk.sh", pasted.as_bytes());
    let scratch = world.path("scratch");
    fs::create_dir(&scratch).expect("made");
    let path = std::env::var("PATH").expect("a path");

    let output = Command::new("bash")
        .args(["-eu", &script])
        .env("PATH", format!("{}:{path}", programs_folder().display()))
        .env("TMPDIR", &scratch)
        .current_dir(root)
        .output()
        .expect("bash starts");

    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    assert!(pasted.lines().count() > 40, "{pasted}");
    let times = |what: &str| said.matches(what).count();
    assert_eq!(times("same bytes"), 1, "{said}\n{errors}");
    assert_eq!(times("exit 3"), 2, "{said}\n{errors}");
    let verified = said
        .lines()
        .filter(|line| line.split_whitespace().eq(["verified", "yes"]));
    assert_eq!(verified.count(), 3, "{said}\n{errors}");
    let denied = errors.matches("do not permit it").count();
    assert_eq!(denied, 2, "{errors}");
    let left: Vec<_> = fs::read_dir(&scratch).expect("there").flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}
