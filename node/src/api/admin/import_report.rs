//! What is told of one input of an import.

use chartmesh_core::{
    flows::Imported,
    types::{Code, limits::INPUT_ISSUES_MAX},
};
use chartmesh_proto::admin::{ImportReply, ImportReport};

/// What became of one input, so far.
pub(super) struct Told {
    report: ImportReport,
    form: Form,
    /// With the line they are of, 0 for the whole.
    issues: Vec<(u64, String)>,
    issues_dropped: u64,
}

enum Form {
    Whole,
    Refused,
    Lines,
}

impl Told {
    /// Nothing told yet of the input of this name.
    pub(super) fn new(input: String) -> Self {
        Self {
            report: ImportReport {
                input,
                ..ImportReport::default()
            },
            form: Form::Whole,
            issues: Vec::new(),
            issues_dropped: 0,
        }
    }

    /// The input is taken line by line.
    pub(super) fn is_lines(&mut self) {
        self.form = Form::Lines;
    }

    /// Refuses the input whole.
    pub(super) fn refuse(&mut self, code: Code, why: &str) {
        self.form = Form::Refused;
        self.push(0, format!("{code}: {why}"));
    }

    /// Refuses one line.
    pub(super) fn refuse_line(&mut self, number: u64, code: Code, why: &str) {
        self.report.lines += 1;
        self.report.lines_refused += 1;
        self.push(number, format!("{code}: line {number}: {why}"));
    }

    /// Counts lines that came in.
    pub(super) fn lines_in(&mut self, count: u64) {
        self.report.lines += count;
    }

    /// Tells an issue of an input that came in.
    pub(super) fn issue(&mut self, code: Code, text: &str) {
        self.push(0, format!("{code}: {text}"));
    }

    /// Tells an issue of a line that came in.
    pub(super) fn line_issue(&mut self, number: u64, code: Code, text: &str) {
        self.push(number, format!("{code}: line {number}: {text}"));
    }

    /// Adds what came in.
    pub(super) fn count(&mut self, imported: &Imported) {
        self.report.patients += imported.patients;
        self.report.resources += imported.resources;
        self.report.documents += imported.documents;
        self.report.unchanged += imported.unchanged;
    }

    /// Closes the report and adds it to the reply.
    pub(super) fn add_to(mut self, reply: &mut ImportReply) {
        let is_new = self.report.resources + self.report.documents > 0;
        let came_in = if is_new { "imported" } else { "unchanged" };
        let (lines, refused) = (self.report.lines, self.report.lines_refused);
        let status = match self.form {
            Form::Refused => "refused",
            Form::Lines if refused > 0 && refused == lines => "refused",
            Form::Lines if refused > 0 => "partial",
            Form::Whole | Form::Lines => came_in,
        };
        status.clone_into(&mut self.report.status);
        match status {
            "refused" | "partial" => reply.refused += 1,
            _ => reply.imported += 1,
        }
        // Lines that waited for their patient were told behind the others.
        self.issues.sort_by_key(|(number, _)| *number);
        self.report.issues = self.issues.into_iter().map(|(_, text)| text).collect();
        if self.issues_dropped > 0 {
            let more = format!("{}: {} more issues", Code::JsonLimit, self.issues_dropped);
            self.report.issues.push(more);
        }
        reply.patients += self.report.patients;
        reply.resources += self.report.resources;
        reply.documents += self.report.documents;
        reply.unchanged += self.report.unchanged;
        reply.reports.push(self.report);
    }

    fn push(&mut self, number: u64, issue: String) {
        if self.issues.len() < INPUT_ISSUES_MAX {
            self.issues.push((number, issue));
        } else {
            self.issues_dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(told: Told) -> ImportReply {
        let mut reply = ImportReply::default();
        told.add_to(&mut reply);
        reply
    }

    #[test]
    fn lines_in_part_refused_are_a_partial_input() {
        let one = || Imported {
            resources: 1,
            ..Imported::default()
        };
        let mut told = Told::new("a.ndjson".to_owned());
        told.is_lines();
        told.count(&one());
        told.lines_in(1);
        let mut partial = Told::new("a.ndjson".to_owned());
        partial.is_lines();
        partial.refuse_line(7, Code::JsonMalformed, "no JSON at byte 3");
        partial.count(&one());
        partial.lines_in(1);
        partial.refuse_line(2, Code::FhirType, "it is nothing");
        let mut none = Told::new("a.ndjson".to_owned());
        none.is_lines();
        none.refuse_line(1, Code::JsonMalformed, "no JSON at byte 3");

        let (whole, partial, none) = (closed(told), closed(partial), closed(none));

        assert_eq!((whole.imported, whole.refused), (1, 0));
        assert_eq!(whole.reports[0].status, "imported");
        assert_eq!((partial.imported, partial.refused), (0, 1));
        let report = &partial.reports[0];
        assert_eq!(report.status, "partial");
        assert_eq!((report.lines, report.lines_refused), (3, 2));
        assert_eq!(
            report.issues,
            [
                "FHIR_TYPE: line 2: it is nothing",
                "JSON_MALFORMED: line 7: no JSON at byte 3"
            ]
        );
        assert_eq!(none.reports[0].status, "refused");
    }

    #[test]
    fn issues_beyond_the_limit_are_counted() {
        let mut told = Told::new("a.ndjson".to_owned());
        told.is_lines();
        for number in 0..INPUT_ISSUES_MAX as u64 {
            told.refuse_line(number, Code::JsonMalformed, "x");
        }
        let mut more = Told::new("b.ndjson".to_owned());
        more.is_lines();
        for number in 0..INPUT_ISSUES_MAX as u64 + 2 {
            more.refuse_line(number, Code::JsonMalformed, "x");
        }

        let issues = |told| closed(told).reports.remove(0).issues;

        assert_eq!(issues(told).len(), INPUT_ISSUES_MAX);
        let more = issues(more);
        assert_eq!(more.len(), INPUT_ISSUES_MAX + 1);
        assert_eq!(more[INPUT_ISSUES_MAX], "JSON_LIMIT: 2 more issues");
    }
}
