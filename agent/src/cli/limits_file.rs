//! `limits.yaml`: the org's limits, and what it asks of machines, as admins write them.

use std::path::Path;

use common::{
    code::Code,
    limits::{
        InvalidResource, Limits, ResourceLimits, ResourceType, StorageLimits,
        written::{self, Count, Size, Time},
    },
    problem::Problem,
};
use serde_json::Map;

use super::yaml::{self, Fields, FileError, UNDER_ORGANIZATION, nearest};

const KEYS: [&str; 8] = [
    "max_machines_per_user",
    "max_concurrent_jobs_per_user",
    "max_queued_jobs_per_user",
    "max_job_runtime",
    "max_job_memory",
    "concurrent",
    "per_user",
    "storage",
];

const APPROVALS_HOME: &str = "it stands under `organization:` in a file of its own, for `compute-share org approvals \
                              apply FILE`";

/// Reads the limits file at `path`.
///
/// # Errors
/// The file cannot be read, or a key or value in it is not one.
pub(crate) fn load(path: &Path) -> Result<Limits, Problem> {
    let limits = yaml::read(path).and_then(|text| parse(&text));
    limits.map_err(|error| {
        let code = error.code();
        error.into_problem(code, path)
    })
}

fn parse(text: &str) -> Result<Limits, FileError> {
    let map = yaml::parse(text)?;
    let homes = [
        ("approvals", APPROVALS_HOME),
        ("limits", UNDER_ORGANIZATION),
        ("policy", UNDER_ORGANIZATION),
    ];
    yaml::keep_out("", &map, &homes)?;
    let file = Fields::new("", &map, &["organization"])?;
    let Some(organization) = file.map("organization")? else {
        return Err(file.complain("organization", "it is missing, and with it all limits"));
    };
    yaml::keep_out("organization", organization, &homes[..1])?;
    let organization = Fields::new("organization", organization, &["limits", "policy"])?;
    let empty = Map::new();
    let policy = organization.map("policy")?.unwrap_or(&empty);
    let policy = Fields::new("organization.policy", policy, &["min_isolation"])?;
    let Some(limits) = organization.map("limits")? else {
        return Err(organization.complain(
            "limits",
            "it is missing; write `limits: {}` for none at all",
        ));
    };
    let fields = Fields::new("organization.limits", limits, &KEYS)?;
    let count = |key| Ok(fields.parsed(key)?.map(|Count(count)| count));
    Ok(Limits {
        max_machines_per_user: count("max_machines_per_user")?,
        max_concurrent_jobs_per_user: count("max_concurrent_jobs_per_user")?,
        max_queued_jobs_per_user: count("max_queued_jobs_per_user")?,
        max_job_runtime: fields
            .parsed("max_job_runtime")?
            .map(|Time(longest)| longest),
        max_job_memory: fields.parsed("max_job_memory")?.map(|Size(most)| most),
        min_isolation: policy.parsed("min_isolation")?,
        concurrent: resources(&fields, "concurrent")?,
        per_user: resources(&fields, "per_user")?,
        storage: storage(&fields)?,
    })
}

/// Reads `{gpu: 16, rtx-5090: 4, cpu: 512}`.
fn resources(fields: &Fields<'_>, key: &str) -> Result<ResourceLimits, FileError> {
    let mut limits = ResourceLimits::default();
    let Some(map) = fields.map(key)? else {
        return Ok(limits);
    };
    let inner = Fields::any(&fields.path(key), map);
    for word in map.keys() {
        let resource = word.parse::<ResourceType>();
        let resource = resource.map_err(|error| match error {
            InvalidResource::Unknown(_) => FileError::UnknownKey {
                key: inner.path(word),
                nearest: nearest(word, &ResourceType::NAMED),
            },
            InvalidResource::Model { .. } => inner.wrong(word, &error),
        })?;
        let Some(text) = inner.text(word)? else {
            continue;
        };
        let most = written::amount(&resource, &text).map_err(|error| inner.wrong(word, &error))?;
        let before = limits
            .set(resource, most)
            .map_err(|error| fields.complain(key, &error.to_string()))?;
        if before.is_some() {
            return Err(FileError::Value {
                key: inner.path(word),
                text: "it is there twice, in capital and small letters".to_owned(),
                code: Some(Code::DuplicateKey),
            });
        }
    }
    Ok(limits)
}

fn storage(fields: &Fields<'_>) -> Result<StorageLimits, FileError> {
    let Some(map) = fields.map("storage")? else {
        return Ok(StorageLimits::default());
    };
    let storage = Fields::new(&fields.path("storage"), map, &["datasets", "artifacts"])?;
    let size = |key| Ok(storage.parsed(key)?.map(|Size(most)| most));
    Ok(StorageLimits {
        datasets: size("datasets")?,
        artifacts: size("artifacts")?,
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

    /// The example that product documentation and `org limits --help` show.
    const EXAMPLE: &str = "\
organization:
  limits:
    max_machines_per_user: 10
    max_concurrent_jobs_per_user: 20
    max_queued_jobs_per_user: 10000
    max_job_runtime: 86400        # seconds, or 24h
    max_job_memory: 65536         # MB, or 64GiB
    concurrent: {gpu: 16, rtx-5090: 4, cpu: 512}      # the whole org, per compute resource type
    per_user:   {gpu: 2, rtx-5090: 1}                 # every member unless set singly
    storage: {datasets: 2TiB, artifacts: 500GiB}
";

    #[test]
    fn the_example_applies_as_it_stands() {
        let limits = parse(EXAMPLE).unwrap();
        let entries = limits.entries();
        let shown: Vec<String> = entries
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        assert_eq!(
            shown,
            [
                "max_machines_per_user=10",
                "max_concurrent_jobs_per_user=20",
                "max_queued_jobs_per_user=10000",
                "max_job_runtime=1d",
                "max_job_memory=64 GiB",
                "concurrent.cpu=512",
                "concurrent.gpu=16",
                "concurrent.rtx-5090=4",
                "per_user.gpu=2",
                "per_user.rtx-5090=1",
                "storage.datasets=2 TiB",
                "storage.artifacts=500 GiB",
            ]
        );
    }

    #[test]
    fn each_wrong_entry_says_what_is_wrong_with_it() {
        #[track_caller]
        fn refused(code: &Code, limits: &str, expect: &str) {
            let text = format!("organization: {{limits: {limits}}}");
            let error = parse(&text).expect_err(&text);
            assert_eq!(&error.code(), code, "{text}");
            assert!(error.to_string().contains(expect), "{error}");
        }
        // Unknown keys, with the nearest.
        refused(
            &Code::UnknownKey,
            "{max_job_memry: 1}",
            "did you mean `max_job_memory`?",
        );
        refused(
            &Code::UnknownKey,
            "{per_usr: {gpu: 1}}",
            "`organization.limits.per_usr`; did you mean `per_user`?",
        );
        refused(
            &Code::UnknownKey,
            "{concurrent: {gup: 2}}",
            "unknown key `organization.limits.concurrent.gup`; did you mean `gpu`?",
        );
        refused(
            &Code::UnknownKey,
            "{storage: {dataset: 1}}",
            "did you mean `datasets`?",
        );
        // Negative.
        refused(
            &Code::NegativeNumber,
            "{max_machines_per_user: -1}",
            "`organization.limits.max_machines_per_user`: -1 is negative",
        );
        refused(
            &Code::NegativeNumber,
            "{per_user: {rtx-5090: -1}}",
            "-1 is negative",
        );
        refused(
            &Code::NegativeNumber,
            "{storage: {artifacts: -5GiB}}",
            "-5GiB is negative",
        );
        refused(
            &Code::NegativeNumber,
            "{max_job_runtime: -2h}",
            "-2h is negative",
        );
        // Too large.
        refused(
            &Code::NumberTooLarge,
            "{max_queued_jobs_per_user: 4294967296}",
            "larger than any limit",
        );
        refused(
            &Code::NumberTooLarge,
            "{max_machines_per_user: 99999999999999999999999}",
            "larger than any limit",
        );
        refused(
            &Code::NumberTooLarge,
            "{max_job_memory: 99999999999999999}",
            "larger than any limit",
        );
        refused(
            &Code::NumberTooLarge,
            "{storage: {datasets: 99999999999PiB}}",
            "larger than any limit",
        );
        refused(
            &Code::NumberTooLarge,
            "{concurrent: {cpu: 99999999}}",
            "larger than any limit",
        );
        refused(
            &Code::NumberTooLarge,
            "{max_job_runtime: 99999999999}",
            "larger than any limit",
        );
        // No such unit, no number.
        refused(
            &Code::BadUnit,
            "{max_job_memory: 64 bananas}",
            "is not a size",
        );
        refused(
            &Code::BadUnit,
            "{max_job_runtime: 3 fortnights}",
            "is not a time",
        );
        refused(
            &Code::BadUnit,
            "{concurrent: {cpu: 4GiB}}",
            "is not a number of processors",
        );
        refused(
            &Code::BadUnit,
            "{per_user: {gpu: 0.5}}",
            "is not a whole number",
        );
        refused(
            &Code::BadUnit,
            "{max_machines_per_user: many}",
            "is not a whole number",
        );
        refused(&Code::Config, "{concurrent: 4}", "expected keys and values");
        refused(
            &Code::Config,
            "{per_user: {gpu: [1]}}",
            "expected a text or a number",
        );
        refused(
            &Code::BadName,
            "{per_user: {rtx 5090: 1}}",
            "is no GPU's model",
        );
        refused(
            &Code::DuplicateKey,
            "{per_user: {rtx-5090: 1, RTX-5090: 2}}",
            "it is there twice",
        );
        let many: Vec<String> = (0..65).map(|n| format!("m-{n}: 1")).collect();
        refused(
            &Code::Config,
            &format!("{{concurrent: {{{}}}}}", many.join(", ")),
            "at most 64 resource types",
        );
        let other = |text| parse(text).unwrap_err().to_string();
        assert!(other("limits: {}").ends_with("it stands under `organization:`"));
        for approvals in [
            "approvals: {job: {gpu_hours_over: 100}}",
            "organization: {limits: {}, approvals: {job: {gpu_hours_over: 100}}}",
        ] {
            let error = other(approvals);
            assert!(
                error.ends_with("`compute-share org approvals apply FILE`"),
                "{error}"
            );
        }
        assert!(other("limit: {}").contains("unknown key `limit`"));
        assert!(other("").contains("`organization`: it is missing"));
    }
}
