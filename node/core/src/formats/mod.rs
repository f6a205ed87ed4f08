//! FHIR in and out: bytes in, plan out. Documents stay the bytes they came as.
//!
//! Nothing here stores, resolves against a store, or fetches; there is no object model of FHIR, only
//! views of what the node must know of a resource. No error or issue holds a value of the input.

mod bundle_writer;
mod fhir_attachment;
mod fhir_bundle;
mod fhir_patient;
mod fhir_reference;
mod fhir_subject;
mod fhir_types;
mod fhir_value;
mod json;
mod lines;
mod report;

pub use bundle_writer::record_bundle;
pub use fhir_attachment::Attachment;
pub use fhir_bundle::{PatientInput, Plan, ResourceInput, Subject, read};
pub use fhir_patient::{demographics, write_demographics};
pub use json::{canonical, check};
pub use lines::{Form, Line, Lines, form};
pub use report::{At, FormatError, Issue};
