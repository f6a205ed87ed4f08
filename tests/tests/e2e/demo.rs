//! What a newcomer types first.

use std::fs;

use serde_json::Value;

use crate::{
    node::run_alone,
    world::{World, lines},
};

#[test]
fn the_demo_tells_the_whole_story_and_leaves_nothing() {
    let world = World::new();
    let scratch = world.path("scratch");
    fs::create_dir(&scratch).expect("made");

    let output = run_alone(&["demo", "--output", "json"], &scratch);

    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let story: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert!(lines(&story["steps"]).count() > 5, "{story}");
    assert!(
        lines(&story["steps"]).all(|step| step["ok"] == true),
        "{story}"
    );
    let left: Vec<_> = fs::read_dir(&scratch).expect("there").flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}
