//! `graph.yaml`: several jobs that wait for one another, by name.
//!
//! `jobs:` has a job under each name, with the keys of a job file; `defaults:` has keys for all of them, and a job's own
//! key wins. What a job comes `after` is a name in the file, or the number of a job that exists.

use std::{collections::BTreeMap, path::Path};

use common::{
    code::Code,
    job::{
        After,
        graph::{MAX_GRAPH_JOBS, Need, Node, order},
    },
    name::Name,
    problem::Problem,
    status::Condition,
};
use serde_json::{Map, Value};

use super::{
    job_file::{self, Draft},
    yaml::{self, Fields, FileError, nearest},
};

/// The key by which a file of this kind is known.
const JOBS: &str = "jobs";

/// Jobs that wait for one another.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Graph {
    pub(crate) jobs: Vec<GraphDraft>,
}

/// One job of a graph.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GraphDraft {
    pub(crate) name: Name,
    /// What it waits for of jobs that are there is in it.
    pub(crate) draft: Draft,
    /// What it waits for in the graph.
    pub(crate) needs: Vec<Need>,
}

/// Reads the file at `path` if it is a graph; relative work folders count from the file's own folder.
///
/// # Errors
/// The file cannot be read, or it has `jobs:` and something in it is not as it has to be.
pub(crate) fn load(path: &Path) -> Result<Option<Graph>, Problem> {
    let graph = yaml::read(path).and_then(|text| {
        let map = yaml::parse(&text)?;
        match map.contains_key(JOBS) {
            true => parse(&map).map(Some),
            false => Ok(None),
        }
    });
    let mut graph = graph.map_err(|error| error.into_problem(Code::BadJobFile, path))?;
    if let (Some(graph), Some(folder)) = (&mut graph, path.parent()) {
        for job in &mut graph.jobs {
            job.draft.count_from(folder);
        }
    }
    Ok(graph)
}

fn parse(map: &Map<String, Value>) -> Result<Graph, FileError> {
    let fields = Fields::new("", map, &[JOBS, "defaults"])?;
    let none = Map::new();
    let defaults = fields.map("defaults")?.unwrap_or(&none);
    // What is wrong there is said of it, and not of each job.
    let mut rest = defaults.clone();
    rest.remove("after");
    job_file::parse_map(&rest).map_err(|error| inside("defaults", &error))?;
    let jobs = fields.map(JOBS)?.unwrap_or(&none);
    if jobs.len() > MAX_GRAPH_JOBS {
        let text = format!("it has {} jobs, {MAX_GRAPH_JOBS} are possible", jobs.len());
        return Err(fields.complain(JOBS, &text));
    }
    let mut places: BTreeMap<Name, u32> = BTreeMap::new();
    for (place, text) in (0..).zip(jobs.keys()) {
        places.insert(name(text)?, place);
    }
    let mut drafts = Vec::with_capacity(jobs.len());
    for (text, job) in jobs {
        let at = format!("{JOBS}.{text}");
        let Value::Object(own) = job else {
            return Err(fields.complain(&at, "expected the keys of a job"));
        };
        let mut whole = defaults.clone();
        whole.extend(own.clone());
        let after = Fields::any(&at, &whole).texts("after")?;
        whole.remove("after");
        let draft = job_file::parse_map(&whole).map_err(|error| inside(&at, &error))?;
        let mut job = GraphDraft {
            name: name(text)?,
            draft,
            needs: Vec::new(),
        };
        let place = format!("{at}.after");
        for wanted in after.into_iter().flatten() {
            wait(&mut job, &places, &wanted).map_err(|text| fields.complain(&place, &text))?;
        }
        job.draft.name.get_or_insert_with(|| text.clone());
        drafts.push(job);
    }
    let nodes = drafts.iter().map(|job| Node {
        name: &job.name,
        needs: &job.needs,
    });
    order(&nodes.collect::<Vec<_>>()).map_err(|error| fields.wrong(JOBS, &error))?;
    Ok(Graph { jobs: drafts })
}

/// Reads a job's name, which must not look like the number of one.
fn name(text: &str) -> Result<Name, FileError> {
    let value = |text: String| FileError::Value {
        key: JOBS.to_owned(),
        text,
        code: None,
    };
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let text = format!("{text:?} is the number of a job, and cannot be a name");
        return Err(value(text));
    }
    text.parse()
        .map_err(|error: common::name::InvalidName| value(format!("{text:?}: {error}")))
}

/// Notes what a job waits for: `prepare`, `prepare:failed`, `41` or `41:ended`.
fn wait(job: &mut GraphDraft, places: &BTreeMap<Name, u32>, wanted: &str) -> Result<(), String> {
    let (target, condition) = match wanted.split_once(':') {
        None => (wanted, None),
        Some((target, condition)) => (target, Some(condition)),
    };
    if target
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'-' || byte == b'+')
    {
        let after: After = wanted
            .parse()
            .map_err(|error: common::job::InvalidAfter| error.to_string())?;
        job.draft.after.push(after);
        return Ok(());
    }
    let condition = match condition {
        None => Condition::Succeeded,
        Some(word) => word
            .parse()
            .map_err(|error: common::status::UnknownWord| error.to_string())?,
    };
    let place = places.iter().find(|(name, _)| name.as_str() == target);
    let Some((_, place)) = place else {
        let names: Vec<&str> = places.keys().map(Name::as_str).collect();
        let meant = nearest(target, &names);
        let meant = meant.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
        let short: String = target.chars().take(80).collect();
        return Err(format!("no job {short:?} is in the file{meant}"));
    };
    job.needs.push(Need {
        place: *place,
        condition,
    });
    Ok(())
}

/// Says where in the file something is wrong.
fn inside(at: &str, error: &FileError) -> FileError {
    FileError::Value {
        key: at.to_owned(),
        text: error.to_string(),
        code: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(text: &str) -> Result<Graph, String> {
        parse(&yaml::parse(text).unwrap()).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn refused(text: &str, expect: &str) {
        let error = graph(text).expect_err(text);
        assert!(error.contains(expect), "{text:?} gave {error:?}");
    }

    #[test]
    fn jobs_wait_for_names_and_numbers() {
        let read = graph(
            "
defaults: {image: 'python:3.12', env: {A: '1'}, after: [7]}
jobs:
  prepare: {command: ./prepare.sh, after: []}
  train: {command: [python3, train.py], after: [prepare], name: my-train, env: {B: '2'}}
  repair: {command: ./repair.sh, after: ['train:failed', 41, '40:ended']}
  clean: {command: ./clean.sh}
",
        )
        .unwrap();
        let of = |name: &str| {
            read.jobs
                .iter()
                .find(|job| job.name.as_str() == name)
                .unwrap()
        };
        let train = of("train");
        assert_eq!(train.draft.name.as_deref(), Some("my-train"));
        assert!(train.draft.image.is_some(), "as the defaults say");
        let env: Vec<&String> = train.draft.env.keys().collect();
        assert_eq!(env, ["B"], "a job's own key wins");
        let named = |need: &Need| (read.jobs[need.place as usize].name.as_str(), need.condition);
        assert_eq!(named(&train.needs[0]), ("prepare", Condition::Succeeded));
        let repair = of("repair");
        assert_eq!(named(&repair.needs[0]), ("train", Condition::Failed));
        let after: Vec<String> = repair.draft.after.iter().map(After::to_string).collect();
        assert_eq!(after, ["41:succeeded", "40:ended"]);
        assert_eq!(repair.draft.name.as_deref(), Some("repair"));
        assert_eq!(of("clean").draft.after.len(), 1, "as the defaults say");
        assert!(of("prepare").draft.after.is_empty());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let job = "{command: x}";
        refused("jobs: {}", "it has no jobs");
        refused("jobs: 3", "`jobs`: expected keys and values");
        refused("jobs: {a: 3}", "`jobs.a`: expected the keys of a job");
        refused(
            &format!("jobs: {{a: {job}}}\ndefault: {{}}"),
            "unknown key `default`; did you mean `defaults`?",
        );
        refused(
            "jobs: {a: {comand: x}}",
            "`jobs.a`: unknown key `comand`; did you mean `command`?",
        );
        refused(
            &format!("jobs: {{a: {job}}}\ndefaults: {{imag: host}}"),
            "`defaults`: unknown key `imag`; did you mean `image`?",
        );
        refused(
            &format!("jobs: {{prepare: {job}, b: {{command: x, after: [prepar]}}}}"),
            "`jobs.b.after`: no job \"prepar\" is in the file; did you mean `prepare`?",
        );
        refused(
            "jobs: {a: {command: x, after: [b]}, b: {command: x, after: ['a:ended']}}",
            "in a circle: a -> b -> a",
        );
        refused("jobs: {a: {command: x, after: [a]}}", "in a circle: a -> a");
        refused(
            "jobs: {a: {command: x, after: ['b:done']}, b: {command: x}}",
            "\"done\" is not one of",
        );
        refused(
            "jobs: {a: {command: x, after: ['-1']}}",
            "is nothing to wait for",
        );
        refused(
            "jobs: {a: {command: x, after: [99999999999999999999999]}}",
            "`jobs.a.after`",
        );
        refused(
            "jobs: {a: {command: x, after: [NaN]}}",
            "no job \"NaN\" is in the file",
        );
        refused("jobs: {12: {command: x}}", "\"12\" is the number of a job");
        refused("jobs: {Train: {command: x}}", "\"Train\"");
    }

    #[test]
    fn two_jobs_of_a_name_are_refused_by_the_reader() {
        let twice = yaml::parse("jobs: {a: {command: x}, a: {command: y}}");
        assert!(twice.unwrap_err().to_string().contains("is there twice"));
    }
}
