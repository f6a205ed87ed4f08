//! What a patient is given of the audit log: the law's accounting, and a letter in plain words.

use chartmesh_proto::admin::{AccountingReply, DisclosureView, PatientShowRequest};

use crate::{
    args::{AccountingArgs, AccountingFormat, LetterArgs},
    connect::Node,
    exit::Failure,
    html,
    out_file::OutFile,
    print::{Screen, write_out},
    text::{self, Table},
};

/// The accounting of 45 CFR 164.528, as a table, JSON, or a page for printing.
///
/// # Errors
/// No such patient, or the file cannot be written.
pub(super) async fn accounting(
    args: AccountingArgs,
    node: &Node,
    screen: &Screen,
) -> Result<(), Failure> {
    let page = match (args.format, args.out) {
        (Some(AccountingFormat::Html), Some(out)) => Some(OutFile::new(out, screen)?),
        (None, None) => None,
        (Some(AccountingFormat::Html), None) | (None, Some(_)) => {
            return Err(Failure::usage(
                "--format html and --out FILE go together",
                "give both for a page, neither for a table",
            ));
        }
    };
    let reply = asked(args.patient.patient, node).await?;
    let Some(mut file) = page else {
        return screen.reply(&reply, accounting_table);
    };
    file.write(accounting_page(&reply).as_bytes())?;
    file.keep()?;
    screen.reply(&reply, |reply: &AccountingReply| {
        format!(
            "{}\n",
            text::count(reply.disclosures.len() as u64, "disclosure")
        )
    })
}

/// The patient's letter.
///
/// # Errors
/// As [`accounting`].
pub(super) async fn letter(args: LetterArgs, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let file = args
        .out
        .map(|path| OutFile::new(path, screen))
        .transpose()?;
    let reply = asked(args.patient.patient, node).await?;
    let letter = match args.format {
        Some(AccountingFormat::Html) => letter_page(&reply),
        None => letter_text(&reply),
    };
    match file {
        None => write_out(letter.as_bytes()),
        Some(mut file) => {
            file.write(letter.as_bytes())?;
            file.keep()
        }
    }
}

async fn asked(patient: String, node: &Node) -> Result<AccountingReply, Failure> {
    let request = PatientShowRequest { patient };
    node.call(async |mut admin| Ok(admin.audit_accounting(request).await?.into_inner()))
        .await
}

fn accounting_table(reply: &AccountingReply) -> String {
    let mut table = Table::new([
        "DATE",
        "RECIPIENT",
        "ADDRESS",
        "PURPOSE",
        "DESCRIPTION",
        "ACCOUNTABLE",
        "BASIS",
        "DISCLOSURE",
    ]);
    for disclosure in &reply.disclosures {
        table.row([
            &text::date(&disclosure.date),
            name(disclosure),
            address(disclosure),
            &disclosure.purpose,
            &disclosure.description,
            if disclosure.accountable { "yes" } else { "no" },
            &disclosure.basis,
            &disclosure.disclosure,
        ]);
    }
    table.or("no disclosures")
}

fn name(disclosure: &DisclosureView) -> &str {
    let recipient = disclosure.recipient.as_ref();
    recipient.map_or("", |recipient| recipient.organization.as_str())
}

fn address(disclosure: &DisclosureView) -> &str {
    let recipient = disclosure.recipient.as_ref();
    recipient.map_or("", |recipient| recipient.address.as_str())
}

// ---------------------------------------------------------------- for printing

fn accounting_page(reply: &AccountingReply) -> String {
    let born = reply
        .birth_date
        .as_deref()
        .map(text::date)
        .unwrap_or_default();
    let period = format!("{} to {}", day(&reply.since), day(&reply.made));
    let made = text::date(&reply.made);
    let mut body = html::facts(&[
        ("Patient", &reply.patient),
        ("Born", &born),
        ("Record held by", &reply.organization),
        ("Address", &reply.address),
        ("Telephone", &reply.phone),
        ("Period", &period),
        ("Made", &made),
    ]);
    let (listed, excepted): (Vec<_>, Vec<_>) =
        reply.disclosures.iter().partition(|line| line.accountable);
    body += "<h2>Disclosures that the law counts (45 CFR 164.528)</h2>\n";
    body += &rows(&listed, "There were none in this period.");
    body += "<h2>For treatment, payment and health care operations</h2>\n";
    body += "<p class=\"note\">The law excepts these from the accounting (45 CFR 164.528(a)(1)(i)); they are listed all the same.</p>\n";
    body += &rows(&excepted, "There were none in this period.");
    html::page("Accounting of disclosures", &body)
}

fn rows(lines: &[&DisclosureView], none: &str) -> String {
    if lines.is_empty() {
        return html::paragraph(none);
    }
    let rows: Vec<[String; 6]> = lines
        .iter()
        .map(|line| {
            [
                text::date(&line.date),
                name(line).to_owned(),
                text::or_none(address(line)).to_owned(),
                line.description.clone(),
                format!("{} ({})", wanted(&line.purpose), line.purpose),
                line.basis.clone(),
            ]
        })
        .collect();
    html::table(
        ["Date", "Recipient", "Address", "What", "Purpose", "Basis"],
        &rows,
    )
}

// ---------------------------------------------------------------- the letter

const TITLE: &str = "Who was given your health records";

/// The letter's paragraphs.
fn letter_lines(reply: &AccountingReply) -> Vec<String> {
    let since = day(&reply.since);
    let mut lines = vec![if reply.disclosures.is_empty() {
        format!("Since {since} we have given your health records to nobody through this network.")
    } else {
        format!(
            "These are all the times since {since} that we gave some of your health records to another organization."
        )
    }];
    for (number, line) in reply.disclosures.iter().enumerate() {
        let place = match address(line) {
            "" => String::new(),
            address => format!(" ({address})"),
        };
        let reason = line
            .basis
            .split_once(": ")
            .map_or(line.basis.as_str(), |(_, rule)| rule);
        lines.push(format!(
            "{}. On {} we gave {}{place}: {}. They asked for it {}. Why we were allowed to: {reason}.",
            number + 1,
            day(&line.date),
            text::inert(name(line)),
            line.description,
            wanted(&line.purpose),
        ));
    }
    let ask = match reply.phone.as_str() {
        "" => "ask at our front desk".to_owned(),
        phone => format!("call us: {phone}"),
    };
    lines.push(format!("If something here looks wrong, or you want to know more, {ask}. We can also tell you who asked for your records and was refused, and who looked at them here."));
    lines.push("You can take back a permission at any time. It counts from the moment we record it; it cannot bring back what was given before.".to_owned());
    lines.push("If you are not content with our answer you can complain to the U.S. Department of Health and Human Services, Office for Civil Rights. Nobody may treat you worse for it.".to_owned());
    lines
}

fn letter_text(reply: &AccountingReply) -> String {
    let head = [&reply.organization, &reply.address, &reply.phone];
    let head = head.into_iter().filter(|line| !line.is_empty());
    let mut letter: String = head
        .map(|line| format!("{}\n", text::escape(line)))
        .collect();
    letter += &format!(
        "\n{}\n\n{}\n\n{TITLE}\n",
        day(&reply.made),
        text::escape(&whom(reply))
    );
    for line in letter_lines(reply) {
        letter += &format!("\n{}\n", wrapped(&text::escape(&line)));
    }
    letter
}

fn letter_page(reply: &AccountingReply) -> String {
    let mut body = html::facts(&[
        ("From", &reply.organization),
        ("Address", &reply.address),
        ("Telephone", &reply.phone),
        ("Date", &day(&reply.made)),
        ("To", &whom(reply)),
    ]);
    for line in letter_lines(reply) {
        body += &html::paragraph(&line);
    }
    html::page(TITLE, &body)
}

fn whom(reply: &AccountingReply) -> String {
    match &reply.birth_date {
        Some(born) => format!("{}, born {}", reply.patient, text::date(born)),
        None => reply.patient.clone(),
    }
}

/// The day of a time.
fn day(time: &str) -> String {
    text::date(time.get(..10).unwrap_or(time))
}

/// A purpose of use in the patient's words.
fn wanted(purpose: &str) -> &'static str {
    match purpose {
        "TREAT" => "to treat you",
        "ETREAT" => "to treat you in an emergency",
        "BTG" => "in an emergency, without asking first",
        "HPAYMT" => "for payment for your care",
        "HOPERAT" => "to run and check its services",
        "PATRQT" => "because you asked for it",
        "FAMRQT" => "because your family asked for it",
        "PWATRNY" => "because somebody with your power of attorney asked for it",
        "SUPNWK" => "for people who support you",
        "HRESCH" => "for research",
        "PUBHLTH" => "for public health",
        "COVERAGE" | "COVAUTH" => "for your health insurance",
        _ => "for a purpose that has no plain name here",
    }
}

/// A paragraph in lines of a letter's width.
fn wrapped(paragraph: &str) -> String {
    const WIDTH: usize = 76;
    let mut lines = String::new();
    let mut column = 0;
    for word in paragraph.split(' ') {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > WIDTH {
            lines.push('\n');
            column = 0;
        } else if column > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += width;
    }
    lines
}

#[cfg(test)]
mod tests {
    use chartmesh_proto::admin::Recipient;

    use super::*;

    fn disclosure(accountable: bool, organization: &str) -> DisclosureView {
        DisclosureView {
            date: "2026-03-04T10:00:00.000Z".to_owned(),
            recipient: Some(Recipient {
                organization: organization.to_owned(),
                node: "12D3KooW".to_owned(),
                address: "5 Dock Road, Denver".to_owned(),
            }),
            purpose: if accountable { "HRESCH" } else { "TREAT" }.to_owned(),
            description: "discharge summary (LOINC 18842-5, application/pdf)".to_owned(),
            accountable,
            basis: "con_a: a consent on file permits this recipient for this purpose".to_owned(),
            disclosure: "dis_a".to_owned(),
            document: "doc_a".to_owned(),
        }
    }

    fn reply(disclosures: Vec<DisclosureView>) -> AccountingReply {
        AccountingReply {
            disclosures,
            made: "2026-11-23T07:00:00.000Z".to_owned(),
            since: "2020-11-22T07:00:00.000Z".to_owned(),
            organization: "Maple Family Clinic".to_owned(),
            address: "1 Main Street".to_owned(),
            phone: "+1 303 555 0100".to_owned(),
            patient: "Rosa Delgado".to_owned(),
            birth_date: Some("1950-03-04".to_owned()),
        }
    }

    #[test]
    fn the_page_has_all_the_law_asks_for_and_keeps_what_it_excepts_apart() {
        let page = accounting_page(&reply(vec![
            disclosure(true, "Research Institute"),
            disclosure(false, "Harbor"),
        ]));

        let (counted, excepted) = page
            .split_once("For treatment, payment")
            .expect("two parts");
        assert!(counted.contains("Research Institute") && !counted.contains("Harbor"));
        assert!(excepted.contains("Harbor") && !excepted.contains("Research Institute"));
        for fact in [
            "Rosa Delgado",
            "22 Nov 2020 to 23 Nov 2026",
            "04 Mar 2026 10:00:00 UTC",
            "5 Dock Road, Denver",
            "discharge summary",
            "for research (HRESCH)",
            "a consent on file permits",
        ] {
            assert!(counted.contains(fact), "{fact}");
        }
    }

    #[test]
    fn no_name_is_markup_or_a_formula_in_page_letter_or_table() {
        let names = [
            "<script>alert(1)</script>",
            "=cmd|' /C calc'!A0",
            "@SUM(1)",
            "+cmd|x",
            "-2+3+cmd|x",
            "\t=1",
            "\r=1",
        ];
        for name in names {
            let mut reply = reply(vec![disclosure(true, name)]);
            reply.patient = name.to_owned();

            let pages = [accounting_page(&reply), letter_page(&reply)];
            let table = accounting_table(&reply);

            for page in &pages {
                assert!(!page.contains("<script"), "{name}");
                for started in ["<td>=", "<td>@", "<td>+cmd", "<td>-2", "<td>\t", "<td>\r"] {
                    assert!(!page.contains(started), "{name}");
                }
            }
            for cell in table.lines().nth(1).expect("a row").split("  ") {
                assert!(
                    !cell.starts_with(['=', '@', '\t', '\r'])
                        && !cell.starts_with("+cmd")
                        && !cell.starts_with("-2"),
                    "{cell}"
                );
            }
        }
    }

    #[test]
    fn the_letter_says_in_plain_words_who_what_when_why_and_on_what_ground() {
        let letter = letter_text(&reply(vec![disclosure(false, "Harbor Urgent Care")]));

        let flat = letter.replace('\n', " ");
        assert!(flat.contains(
            "1. On 04 Mar 2026 we gave Harbor Urgent Care (5 Dock Road, Denver): discharge summary"
        ));
        assert!(flat.contains("They asked for it to treat you. Why we were allowed to: a consent on file permits this recipient"));
        assert!(!letter.contains("con_a"));
        assert!(
            letter.starts_with(
                "Maple Family Clinic\n1 Main Street\n+1 303 555 0100\n\n23 Nov 2026\n"
            )
        );
        assert!(letter.lines().all(|line| line.chars().count() <= 76));
        let none = letter_text(&reply(Vec::new()));
        assert!(
            none.replace('\n', " ")
                .contains("given your health records to nobody")
        );
    }
}
