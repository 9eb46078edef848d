//! `limits.yaml`: the org's limits, and what it asks of machines, as admins write them.

use std::path::Path;

use common::{code::Code, limits::Limits, problem::Problem};
use serde_json::Map;

use super::yaml::{self, Fields, FileError};

const KEYS: [&str; 5] = [
    "max_machines_per_user",
    "max_concurrent_jobs_per_user",
    "max_queued_jobs_per_user",
    "max_job_runtime",
    "max_job_memory",
];
/// Limits of the product that come later; refused, because a limit that is not kept is worse than none.
const LATER: [&str; 3] = ["concurrent", "per_user", "storage"];

/// Reads the limits file at `path`.
///
/// # Errors
/// The file cannot be read, or a key or value in it is not one.
pub(crate) fn load(path: &Path) -> Result<Limits, Problem> {
    let limits = yaml::read(path).and_then(|text| parse(&text));
    limits.map_err(|error| error.into_problem(Code::Config, path))
}

fn parse(text: &str) -> Result<Limits, FileError> {
    let map = yaml::parse(text)?;
    let file = Fields::new("", &map, &["organization"], &[])?;
    let Some(organization) = file.map("organization")? else {
        return Err(file.complain("organization", "it is missing, and with it all limits"));
    };
    let organization = Fields::new("organization", organization, &["limits", "policy"], &[])?;
    let empty = Map::new();
    let policy = organization.map("policy")?.unwrap_or(&empty);
    let policy = Fields::new("organization.policy", policy, &["min_isolation"], &[])?;
    let Some(limits) = organization.map("limits")? else {
        return Err(organization.complain(
            "limits",
            "it is missing; write `limits: {}` for none at all",
        ));
    };
    let fields = Fields::new("organization.limits", limits, &KEYS, &LATER)?;
    Ok(Limits {
        max_machines_per_user: fields.parsed("max_machines_per_user")?,
        max_concurrent_jobs_per_user: fields.parsed("max_concurrent_jobs_per_user")?,
        max_queued_jobs_per_user: fields.parsed("max_queued_jobs_per_user")?,
        max_job_runtime: fields.parsed("max_job_runtime")?,
        max_job_memory: fields.parsed("max_job_memory")?,
        min_isolation: policy.parsed("min_isolation")?,
    })
}

#[cfg(test)]
mod tests {
    use common::{status::MinIsolation, time::Span, units::Bytes};

    use super::*;

    #[test]
    fn limits_read_bare_numbers_and_units() {
        let read = |runtime: &str, memory: &str| {
            let text = format!(
                "organization:\n  limits:\n    max_machines_per_user: 10\n    max_job_runtime: {runtime}\n    \
                 max_job_memory: {memory}\n"
            );
            parse(&text).unwrap()
        };
        assert_eq!(read("86400", "65536"), read("24h", "64GiB"));
        let limits = read("24h", "64GiB");
        assert_eq!(limits.max_job_runtime, Some(Span::from_secs(86_400)));
        assert_eq!(limits.max_job_memory, Some(Bytes::gib(64)));
        assert_eq!(limits.max_machines_per_user, Some(10));
        assert_eq!(limits.max_queued_jobs_per_user, None);
    }

    #[test]
    fn what_the_org_asks_of_machines_stands_beside_the_limits() {
        let text = "organization: {limits: {}, policy: {min_isolation: strong}}";
        let limits = parse(text).unwrap();
        assert_eq!(limits.min_isolation, Some(MinIsolation::Strong));
        let none = parse("organization: {limits: {}}").unwrap();
        assert_eq!(none.min_isolation, None);
        let wrong = |text| parse(text).unwrap_err().to_string();
        assert_eq!(
            wrong("organization: {limits: {}, policy: {min_isolation: d}}"),
            "`organization.policy.min_isolation`: \"d\" is not one of c, b, a, strong"
        );
        assert!(
            wrong("organization: {limits: {}, policy: {isolation: a}}")
                .contains("unknown key `organization.policy.isolation`")
        );
    }

    #[test]
    fn a_limit_that_would_not_be_kept_is_refused() {
        #[track_caller]
        fn refused(text: &str, expect: &str) {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(expect), "{error}");
        }
        refused(
            "organization: {limits: {per_user: {gpu: 2}}}",
            "`organization.limits.per_user` is not available",
        );
        refused(
            "organization: {limits: {max_job_memry: 1}}",
            "did you mean `max_job_memory`?",
        );
        refused(
            "organization: {limits: {max_machines_per_user: -1}}",
            "max_machines_per_user",
        );
        refused("limits: {}", "unknown key `limits`");
        refused("", "`organization`: it is missing");
    }
}
