//! What an input is, where it is plainly something that this version does not import.

/// Why an input is not even tried, told from how it begins; none where it may be FHIR JSON.
pub(super) fn foreign(bytes: &[u8]) -> Option<&'static str> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // A message taken off the wire may still have the start block of MLLP (HL7 v2, appendix C).
    let bytes = bytes.strip_prefix(b"\x0b").unwrap_or(bytes);
    let bytes = bytes.trim_ascii_start();
    let starts = |head: &[u8]| bytes.starts_with(head);
    if starts(b"MSH|") || starts(b"FHS|") || starts(b"BHS|") {
        Some("this is HL7 v2, and this version imports FHIR R4 JSON only")
    } else if starts(b"<") {
        Some("this is XML such as C-CDA, and this version imports FHIR R4 JSON only")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_fhir_json_is_tried() {
        for fine in [
            "{}",
            "\u{feff} {\"resourceType\":\"Patient\"}\n",
            "{\n \"a\": {}\n}\n",
            "{\"a\":\n{}\n}",
            "[{}\n,{}]",
            "text",
            "",
        ] {
            assert_eq!(foreign(fine.as_bytes()), None, "{fine}");
        }
    }

    #[test]
    fn another_format_is_named() {
        for (input, name) in [
            ("MSH|^~\\&|LAB|", "HL7 v2"),
            ("\u{b}MSH|^~\\&|LAB|", "HL7 v2"),
            ("FHS|^~\\&|", "HL7 v2"),
            ("<?xml version=\"1.0\"?>", "C-CDA"),
            ("\u{feff}<ClinicalDocument/>", "C-CDA"),
        ] {
            let said = foreign(input.as_bytes());
            assert!(said.is_some_and(|said| said.contains(name)), "{input}");
        }
    }
}
