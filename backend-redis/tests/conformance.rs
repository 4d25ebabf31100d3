//! The conformance kit over this backend.

mod support;

job_conformance::suite!(support::harness);
