//! `sample`.

use std::{fs, io, path::Path};

use chartmesh_core::sample::{PLACES, Town};
use serde::Serialize;

use crate::{
    args::SampleArgs,
    exit::Failure,
    print::Screen,
    text::{self, Table},
};

/// What was written.
#[derive(Serialize)]
struct Reply {
    patients: u64,
    files: u64,
    providers: Vec<Provider>,
}

/// What one provider has.
#[derive(Serialize)]
struct Provider {
    folder: &'static str,
    name: &'static str,
    kind: &'static str,
    files: u64,
}

/// Writes the town into folders, one a provider. Needs no daemon.
///
/// # Errors
/// A file cannot be written.
pub(crate) fn run(args: &SampleArgs, screen: &Screen) -> Result<(), Failure> {
    let mut reply = Reply {
        patients: 0,
        files: 0,
        providers: PLACES
            .iter()
            .map(|place| Provider {
                folder: place.folder,
                name: place.name,
                kind: place.kind,
                files: 0,
            })
            .collect(),
    };
    if fs::read_dir(&args.out).is_ok_and(|mut entries| entries.next().is_some()) {
        screen.note("the folder is not empty: files of another town in it stay");
    }
    for place in PLACES {
        let folder = args.out.join(place.folder);
        written(&folder, fs::create_dir_all(&folder))?;
    }
    let bar = screen.progress(args.patients, "patients");
    for file in Town::new(args.patients, args.seed) {
        let path = args.out.join(&file.path);
        written(&path, fs::write(&path, &file.bytes))?;
        reply.patients += u64::from(file.is_first);
        reply.files += 1;
        reply.providers[file.place].files += 1;
        bar.set(file.person, args.patients);
    }
    bar.clear();
    screen.reply(&reply, table)
}

fn written(path: &Path, outcome: io::Result<()>) -> Result<(), Failure> {
    outcome.map_err(|error| Failure::file("written", path, &error))
}

fn table(reply: &Reply) -> String {
    let mut table = Table::new(["FOLDER", "PROVIDER", "KIND", "FILES"]);
    for provider in &reply.providers {
        table.row([
            provider.folder,
            provider.name,
            provider.kind,
            &provider.files.to_string(),
        ]);
    }
    let sums = text::lines([
        ("patients", reply.patients.to_string().as_str()),
        ("files", &reply.files.to_string()),
    ]);
    format!("{}\n{sums}", table.or("no provider"))
}
