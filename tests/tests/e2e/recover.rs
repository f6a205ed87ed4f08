//! Real daemons: recovery keys replace authorities, and a node decides between two charters.

use serde_json::Value;

use crate::{
    clock::ahead,
    cosign::{admit_by_two, three_trees},
    node::{Node, PATIENCE, text},
    people::{ROSA, words},
    rekey::{checks, fetched},
    story::import,
    world::{World, active, approve, invite, join, line_of, lines},
};

/// Three authorities with two of three recovery keys in files, and a member that has a record.
struct Grove {
    oak: Node,
    elm: Node,
    ash: Node,
    fir: Node,
    keys: Vec<String>,
    world: World,
}

impl Grove {
    fn new() -> Self {
        let world = World::new();
        let offline = world.node("offline", "Safe Deposit", "clinic");
        let files: Vec<String> = (0..3)
            .map(|n| world.out(&format!("{n}.recovery")))
            .collect();
        let public: Vec<String> = files
            .iter()
            .map(|file| text(&offline.ok(&["network", "recovery-key", "--out", file])["key"]))
            .collect();
        let mut more = vec!["--recovery"];
        more.extend(public.iter().map(String::as_str));
        let [oak, elm, ash] = three_trees(&world, "us-treatment", &more);
        let mut fir = world.node("fir", "Fir Pharmacy", "pharmacy");
        fir.start();
        admit_by_two(&oak, &elm, &fir);
        import(&fir, &world.file("rosa.json", &ROSA.bundle()));
        ash.wait("the record is found", PATIENCE, || {
            answer(&ash, &fir) == "match"
        });
        Self {
            oak,
            elm,
            ash,
            fir,
            keys: files,
            world,
        }
    }

    /// Proposes, at ash, that oak and elm are authorities no longer, by some of the recovery keys.
    fn recover(&self, keys: &[String]) -> Value {
        let mut command = vec![
            "network".to_owned(),
            "recover".to_owned(),
            "--key".to_owned(),
        ];
        command.extend_from_slice(keys);
        command.push("--remove".to_owned());
        for gone in [&self.oak, &self.elm] {
            let offer = gone.ok(&["network", "authority"]);
            command.extend([text(&offer["key"]), text(&offer["status_key"])]);
        }
        self.ash.ok(&words(&command))
    }
}

fn answer(asker: &Node, holder: &Node) -> String {
    let ledger = asker.run(&words(&ROSA.question())).json;
    let line = lines(&ledger["nodes"]).find(|line| line["node"] == holder.id.as_str());
    line.map_or_else(String::new, |line| text(&line["answer"]))
}

/// The states of the charters that `status` shows beside the one in force.
fn disputed(node: &Node) -> Vec<String> {
    let status = node.ok(&["status"]);
    let disputed = lines(&status["disputed"]);
    disputed.map(|line| text(&line["state"])).collect()
}

/// Whether `status` has a line that begins so above everything else.
fn shows(node: &Node, alarm: &str) -> bool {
    let said = node.run_in_words(&["status"]).stdout;
    let mut above = said.lines().take_while(|line| !line.starts_with("health"));
    above.any(|line| line.starts_with(alarm))
}

/// Two of three authorities are gone with their disks; the network goes on with the third.
///
/// The hard case is the three days in between: everybody is warned, and who asked to join before them waits
/// for the signature of somebody who is gone.
#[test]
fn recovery_keys_replace_lost_authorities_after_three_days_and_the_exchange_goes_on() {
    let Some(three_days) = ahead("+73h") else {
        return;
    };
    let mut grove = Grove::new();
    let one = grove.recover(&grove.keys[..1]);
    assert_eq!(one["proposals"][0]["state"], "waiting", "{one}");
    let mut newcomer = grove.world.node("yew", "Yew Urgent Care", "urgent-care");
    newcomer.start();
    let asked = join(&newcomer, &invite(&grove.ash)).expect(0).json;
    approve(&grove.ash, &text(&asked["id"]));
    let change = grove.recover(&grove.keys[..2]);
    assert_eq!(change["proposals"][0]["state"], "complete", "{change}");
    for lost in [&mut grove.oak, &mut grove.elm] {
        lost.kill();
        std::fs::remove_dir_all(&lost.dir).expect("the disk is lost");
    }
    for node in [&grove.ash, &grove.fir] {
        node.wait("is alarmed", PATIENCE, || disputed(node) == ["recovery"]);
        assert!(shows(node, "RECOVERY:") && !shows(node, "CHARTER_FORK:"));
        assert_eq!(checks(node, "charter"), ["ok", "warn"]);
        assert_eq!(node.ok(&["status"])["charter"]["by"], "founding");
    }

    assert_eq!(active(&newcomer), 0, "two must sign");

    for node in [&mut grove.ash, &mut grove.fir, &mut newcomer] {
        node.stop();
        node.start_within(three_days.clone());
    }

    for node in [&grove.ash, &grove.fir] {
        node.wait("goes by the recovery", PATIENCE, || {
            let status = node.ok(&["status"]);
            let charter = &status["charter"];
            charter["version"] == 1 && charter["by"] == "recovery" && status["health"] == "ok"
        });
        assert!(disputed(node).is_empty() && !shows(node, "RECOVERY:"));
        let said = node.run_in_words(&["status"]).stdout;
        assert!(said.contains("RECOVERED"), "{said}");
        let rules = node.ok(&["network", "rules"]);
        assert_eq!(lines(&rules["authorities"]).count(), 1);
    }
    // The one signature that it had is enough, and nobody approves again.
    newcomer.wait("the record is found", PATIENCE, || {
        answer(&newcomer, &grove.fir) == "match"
    });
    fetched(&newcomer, &grove.fir, &grove.world.out("record.json"));
}

/// The authorities were only said to be lost: they change the rules while a recovery waits.
///
/// The hard case is that known members are served all the while, whichever charter they go by.
#[test]
fn a_node_told_of_two_charters_adopts_one_by_command_and_is_told_what_differs() {
    let grove = Grove::new();
    let Grove {
        oak, elm, ash, fir, ..
    } = &grove;
    let recovery = grove.recover(&grove.keys[..2]);
    assert_eq!(recovery["proposals"][0]["state"], "complete", "{recovery}");
    fir.wait("is alarmed", PATIENCE, || disputed(fir) == ["recovery"]);
    let amended = oak.run(&["network", "amend", "--policy", "opt-in"]);
    let id = text(&amended.expect(0).json["proposals"][0]["id"]);
    elm.wait("the charter is proposed", PATIENCE, || {
        elm.run(&["network", "cosign", &id]).exit == 0
    });

    for node in [ash, fir] {
        node.wait("knows of both", PATIENCE, || disputed(node) == ["fork"]);
        assert!(shows(node, "CHARTER_FORK:") && !shows(node, "RECOVERY:"));
        assert_eq!(node.ok(&["network", "rules"])["policy"], "opt-in");
        assert_eq!(checks(node, "charter"), ["ok", "bad"]);
    }
    let refused = ash.run(&["network", "amend", "--policy", "us-treatment"]);
    assert_eq!(refused.code(), "CHARTER_FORK");
    let ledger = ash.run(&words(&ROSA.question())).json;
    assert_eq!(line_of(&ledger, fir)["answer"], "match", "they are served");

    let dispute = fir.ok(&["network", "rules"])["disputed"][0].clone();
    let other = text(&dispute["charter"]);
    let unknown = fir.run(&["network", "adopt", &"0".repeat(64)]);
    assert_eq!(unknown.code(), "PROPOSAL_UNKNOWN");
    let adopted = fir.ok(&["network", "adopt", &other]);

    assert_eq!(adopted["charter"], other.as_str());
    assert_eq!(adopted["policy"], "us-treatment", "the rules before it");
    assert_eq!(adopted["changes"], dispute["changes"], "as rules said");
    let told = |name: &str| lines(&adopted["changes"]).any(|line| line["name"] == name);
    assert!(told("authority") && told("signatures needed"), "{adopted}");
    let said = fir.run_in_words(&["status"]).stdout;
    assert!(said.contains("ADOPTED"), "{said}");
    assert_eq!(fir.ok(&["status"])["charter"]["by"], "adoption");
    assert!(disputed(fir).is_empty() && !shows(fir, "CHARTER_FORK:"));

    // Whoever is the only authority by that charter goes by it too, and changes it alone.
    ash.ok(&["network", "adopt", &other]);
    let alone = ash.ok(&["network", "amend", "--policy", "opt-in"]);
    assert_eq!(alone["proposals"][0]["state"], "complete", "{alone}");
    fir.wait("follows", PATIENCE, || {
        let charter = fir.ok(&["status"])["charter"].clone();
        charter["version"] == 2 && charter["by"] == "authorities"
    });
}
