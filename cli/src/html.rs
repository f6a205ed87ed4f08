//! Pages for printing: one file, nothing fetched from anywhere, everything that comes from a record escaped.

use std::fmt::Write as _;

use crate::text::{escape, inert};

/// What a page looks like, on a screen and on paper.
const STYLE: &str = "body{font:11pt/1.45 Georgia,serif;color:#111;max-width:52rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem;margin:0 0 .5rem}h2{font-size:1.1rem;margin:1.6rem 0 .4rem}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;margin:0 0 1rem}dt{color:#555}dd{margin:0}\
table{border-collapse:collapse;width:100%;font-size:.85rem}th,td{border:1px solid #999;padding:.3rem .4rem;text-align:left;vertical-align:top;overflow-wrap:break-word}\
th{background:#eee}p.note{color:#444;font-size:.9rem}td.date{white-space:nowrap}\
@page{margin:18mm}@media print{body{margin:0;max-width:none;padding:0}thead{display:table-header-group}tr{break-inside:avoid}}";

/// A text as it may stand between tags or in an attribute.
pub(crate) fn text(value: &str) -> String {
    let mut safe = String::with_capacity(value.len());
    for character in escape(value).chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// A page with a title; the body is markup.
pub(crate) fn page(title: &str, body: &str) -> String {
    let title = text(title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         </head>\n<body>\n<h1>{title}</h1>\n{body}</body>\n</html>\n"
    )
}

/// Names and values; what has no value is left out.
pub(crate) fn facts(pairs: &[(&str, &str)]) -> String {
    let mut list = "<dl>\n".to_owned();
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(list, "<dt>{}</dt><dd>{}</dd>", text(name), text(value));
    }
    list + "</dl>\n"
}

/// A table. Every cell is escaped, and none is a formula to whoever pastes it into a spreadsheet.
pub(crate) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let mut table = "<table>\n<thead><tr>".to_owned();
    for heading in headings {
        let _ = write!(table, "<th scope=\"col\">{}</th>", text(heading));
    }
    table.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        table.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let class = if column == 0 { " class=\"date\"" } else { "" };
            let _ = write!(table, "<td{class}>{}</td>", text(&inert(&escape(cell))));
        }
        table.push_str("</tr>\n");
    }
    table + "</tbody>\n</table>\n"
}

/// A paragraph.
pub(crate) fn paragraph(value: &str) -> String {
    format!("<p>{}</p>\n", text(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_record_is_markup_or_turns_the_direction_of_reading() {
        let vectors = [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "\" onmouseover=\"alert(1)",
            "' onfocus='alert(1)",
            "</td></table><iframe src=//evil.example>",
            "</title><script>1</script>",
            "&lt;script&gt;",
            "javascript:alert(1)",
            "\u{202e}txt.exe",
            "a\r\nb\u{1b}[2J",
        ];
        for vector in vectors {
            let row = [vector.to_owned()];

            let page = page(
                vector,
                &(facts(&[(vector, vector)]) + &table([vector], &[row]) + &paragraph(vector)),
            );

            let body = page.split("</style>").nth(1).unwrap_or_default();
            let tags: Vec<&str> = body
                .split('<')
                .skip(1)
                .map(|tag| tag.split(['>', ' ']).next().unwrap_or_default())
                .collect();
            let ours = [
                "h1", "dl", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td", "p", "head",
                "body", "html",
            ];
            for tag in tags {
                assert!(
                    ours.contains(&tag.trim_start_matches('/')),
                    "{vector}: {tag}"
                );
            }
            assert!(
                !body.contains("onerror=alert(1)>")
                    && !body.contains('\u{202e}')
                    && !body.contains('\u{1b}')
            );
            assert!(
                !body.contains("\" on") && !body.contains("' on"),
                "{vector}"
            );
        }
        assert_eq!(
            text("Rosa & O'Brien <x>"),
            "Rosa &amp; O&#39;Brien &lt;x&gt;"
        );
    }

    #[test]
    fn a_cell_that_starts_a_formula_is_inert() {
        let row = ["=cmd|' /C calc'!A0".to_owned()];

        let table = table(["WHAT"], &[row]);

        assert!(table.contains("<td class=\"date\">&#39;=cmd|"), "{table}");
    }
}
