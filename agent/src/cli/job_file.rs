//! `job.yaml`: what a person wants run, before its folder is sent.
//!
//! A [`Draft`] is what the file and the flags say together; the flags win. It becomes a
//! [`common::job::JobSpec`] once the work folder has an id. What only the coordinator can judge (does the
//! dataset exist, does it fit) is left to it.

mod checkpoint;
mod gpu;

pub(crate) use self::gpu::{MemoryRange, ShortGpu};

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use common::{
    code::Code,
    id::TreeId,
    image::Image,
    job::{After, ArraySpec, Checkpoint, InvalidAfter, InvalidMount, JobSpec, Mount, Retries},
    label::{InvalidLabel, WantedLabel},
    name::Name,
    problem::Problem,
    resources::Request,
    secret::SecretName,
    status::{EndReason, MinIsolation, Network, Priority, SandboxScope, Visibility},
    time::Span,
    units::{Bytes, MilliCpu},
};
use serde_json::{Map, Value};

use super::{
    each::Each,
    yaml::{self, Fields, FileError},
};

const KEYS: [&str; 25] = [
    "name",
    "image",
    "command",
    "workdir",
    "env",
    "resources",
    "datasets",
    "outputs",
    "network",
    "isolation",
    "sandbox",
    "priority",
    "max_runtime",
    "retries",
    "array",
    "project",
    "visibility",
    "secrets",
    "after",
    "hold",
    "labels",
    "exclusive",
    "nodes",
    "checkpoint",
    "each",
];

/// What is said of the key that makes a file a graph.
const A_GRAPH: &str = "it makes the file a graph, which only `submit` takes";

/// A job that is not yet complete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) name: Option<String>,
    pub(crate) image: Option<Image>,
    pub(crate) command: Vec<String>,
    /// Absolute, or relative to the current folder.
    pub(crate) workdir: Option<PathBuf>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) request: Request,
    /// Datasets, and what other jobs left.
    pub(crate) datasets: Vec<Mount>,
    pub(crate) outputs: Vec<String>,
    pub(crate) network: Option<Network>,
    pub(crate) isolation: Option<MinIsolation>,
    pub(crate) sandbox: Option<SandboxScope>,
    pub(crate) priority: Option<Priority>,
    pub(crate) max_runtime: Option<Span>,
    pub(crate) retries: Option<Retries>,
    pub(crate) array: Option<ArraySpec>,
    pub(crate) project: Option<Name>,
    pub(crate) visibility: Option<Visibility>,
    pub(crate) secrets: BTreeSet<SecretName>,
    pub(crate) after: Vec<After>,
    pub(crate) hold: bool,
    pub(crate) labels: Vec<WantedLabel>,
    pub(crate) nodes: Option<u32>,
    pub(crate) checkpoint: Option<Checkpoint>,
    /// Where its tasks' parameters are.
    pub(crate) each: Option<Each>,
}

/// Reads the job file at `path`. Relative paths of this computer count from the file's own folder.
///
/// # Errors
/// The file cannot be read, or a key or value in it is not one.
pub(crate) fn load(path: &Path) -> Result<Draft, Problem> {
    let draft = yaml::read(path).and_then(|text| parse(&text));
    let mut draft = draft.map_err(|error| error.into_problem(Code::BadJobFile, path))?;
    if let Some(folder) = path.parent() {
        draft.count_from(folder);
    }
    Ok(draft)
}

fn parse(text: &str) -> Result<Draft, FileError> {
    parse_map(&yaml::parse(text)?)
}

/// Reads the keys of a job, which a graph has for each of its jobs.
pub(crate) fn parse_map(map: &Map<String, Value>) -> Result<Draft, FileError> {
    yaml::keep_out("", map, &[("jobs", A_GRAPH)])?;
    let fields = Fields::new("", map, &KEYS)?;
    Ok(Draft {
        name: fields.text("name")?,
        image: fields.parsed("image")?,
        command: command(&fields)?,
        workdir: fields.text("workdir")?.map(PathBuf::from),
        env: env(&fields)?,
        request: Request {
            exclusive: fields.flag("exclusive")?.unwrap_or(false),
            ..resources(&fields)?
        },
        datasets: datasets(&fields)?,
        outputs: fields.texts("outputs")?.unwrap_or_default(),
        network: fields.parsed("network")?,
        isolation: fields.parsed("isolation")?,
        sandbox: fields.parsed("sandbox")?,
        priority: fields.parsed("priority")?,
        max_runtime: fields.parsed("max_runtime")?,
        retries: retries(&fields)?,
        array: fields.parsed("array")?,
        project: fields.parsed("project")?,
        visibility: fields.parsed("visibility")?,
        secrets: secrets(&fields)?,
        after: after(&fields)?,
        hold: fields.flag("hold")?.unwrap_or(false),
        labels: labels(&fields)?,
        nodes: fields.parsed("nodes")?,
        checkpoint: checkpoint::read(&fields)?,
        each: each(&fields)?,
    })
}

fn each(fields: &Fields<'_>) -> Result<Option<Each>, FileError> {
    let each: Option<Each> = fields.parsed("each")?;
    match each.as_ref().is_some_and(Each::is_stdin) {
        true => Err(fields.complain(
            "each",
            "a file names a file; `--each -` reads the standard input",
        )),
        false => Ok(each),
    }
}

fn secrets(fields: &Fields<'_>) -> Result<BTreeSet<SecretName>, FileError> {
    let names = fields.texts("secrets")?.unwrap_or_default();
    let names = names.iter().map(|text| {
        text.parse()
            .map_err(|error| fields.complain("secrets", &format!("{text:?}: {error}")))
    });
    names.collect()
}

fn after(fields: &Fields<'_>) -> Result<Vec<After>, FileError> {
    let wanted = fields.texts("after")?.unwrap_or_default();
    let wanted = wanted.iter().map(|text| {
        text.parse()
            .map_err(|error: InvalidAfter| fields.complain("after", &error.to_string()))
    });
    wanted.collect()
}

fn labels(fields: &Fields<'_>) -> Result<Vec<WantedLabel>, FileError> {
    let wanted = fields.texts("labels")?.unwrap_or_default();
    let wanted = wanted.iter().map(|text| {
        text.parse()
            .map_err(|error: InvalidLabel| fields.complain("labels", &error.to_string()))
    });
    wanted.collect()
}

/// Reads the command: a list is program and arguments, a text goes to a shell.
fn command(fields: &Fields<'_>) -> Result<Vec<String>, FileError> {
    match fields.value("command") {
        Some(Value::String(line)) => Ok(shell(line)),
        Some(_) => Ok(fields.texts("command")?.unwrap_or_default()),
        None => Ok(Vec::new()),
    }
}

fn shell(line: &str) -> Vec<String> {
    ["sh", "-c", line].map(str::to_owned).to_vec()
}

fn env(fields: &Fields<'_>) -> Result<BTreeMap<String, String>, FileError> {
    let Some(map) = fields.map("env")? else {
        return Ok(BTreeMap::new());
    };
    let variables = map.iter().map(|(name, value)| {
        let key = format!("env.{name}");
        let text = match value {
            Value::String(text) => text.clone(),
            // YAML would turn 1.10 into 1.1; only what cannot change on the way is taken as it is.
            Value::Number(number) if !number.is_f64() => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            _ => {
                let text = "expected a text; write it in quotes";
                return Err(fields.complain(&key, text));
            }
        };
        check_variable(name, &text).map_err(|why| fields.complain(&key, why))?;
        Ok((name.clone(), text))
    });
    variables.collect()
}

/// Returns whether an environment can hold the variable.
///
/// # Errors
/// Why not, in words.
pub(crate) fn check_variable(name: &str, value: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        Err("a variable needs a name")
    } else if name.contains('=') {
        Err("the name of a variable cannot have a `=` in it")
    } else if name.contains('\0') || value.contains('\0') {
        Err("a variable cannot have a NUL byte in it")
    } else {
        Ok(())
    }
}

fn resources(fields: &Fields<'_>) -> Result<Request, FileError> {
    let default = Request::default();
    let Some(map) = fields.map("resources")? else {
        return Ok(default);
    };
    let fields = Fields::new("resources", map, &["cpu", "memory", "disk", "gpu"])?;
    Ok(Request {
        cpu: fields.parsed::<MilliCpu>("cpu")?.unwrap_or(default.cpu),
        memory: fields.parsed::<Bytes>("memory")?.unwrap_or(default.memory),
        disk: fields.parsed::<Bytes>("disk")?.unwrap_or(default.disk),
        gpu: match fields.value("gpu") {
            None => None,
            Some(Value::Object(map)) => Some(gpu::read(map)?),
            Some(_) => fields.parsed::<ShortGpu>("gpu")?.map(|gpu| gpu.0),
        },
        ..default
    })
}

/// Reads mounts, each as a text (`digits@3:/data:lazy`) or with its parts named.
fn datasets(fields: &Fields<'_>) -> Result<Vec<Mount>, FileError> {
    let read = |text: &str| {
        let complain = |error| fields.complain("datasets", &format!("{text:?}: {error}"));
        text.parse().map_err(|error: InvalidMount| complain(error))
    };
    let each = |item: &Value| match item {
        Value::String(text) => read(text),
        Value::Object(map) => {
            let named = Fields::new("datasets", map, &["dataset", "path", "lazy"])?;
            let part = |key| named.text(key).map(Option::unwrap_or_default);
            let lazy = match named.flag("lazy")? {
                Some(true) => ":lazy",
                Some(false) | None => "",
            };
            read(&format!("{}:{}{lazy}", part("dataset")?, part("path")?))
        }
        _ => Err(fields.complain(
            "datasets",
            "expected a list of mounts, as in digits@3:/data",
        )),
    };
    match fields.value("datasets") {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(each).collect(),
        Some(_) => Err(fields.complain("datasets", "expected a list")),
    }
}

fn retries(fields: &Fields<'_>) -> Result<Option<Retries>, FileError> {
    match fields.value("retries") {
        None => Ok(None),
        Some(Value::Object(map)) => {
            let fields = Fields::new("retries", map, &["max", "on", "backoff", "memory"])?;
            let default = Retries::default();
            let on = fields.texts("on")?.map(|words| {
                let reasons = words.iter().map(|word| word.parse::<EndReason>());
                reasons
                    .collect::<Result<_, _>>()
                    .map_err(|error| fields.complain("on", &error.to_string()))
            });
            Ok(Some(Retries {
                max: fields.parsed("max")?.unwrap_or(default.max),
                on: on.transpose()?.unwrap_or(default.on),
                backoff: fields.parsed("backoff")?,
                memory: fields.parsed("memory")?,
            }))
        }
        Some(_) => Ok(fields.parsed("retries")?.map(|max| Retries {
            max,
            ..Retries::default()
        })),
    }
}

impl Draft {
    /// Lets its relative paths count from this folder.
    pub(crate) fn count_from(&mut self, folder: &Path) {
        if let Some(workdir) = &mut self.workdir {
            *workdir = folder.join(&workdir);
        }
        if let Some(each) = &mut self.each {
            each.beside(folder);
        }
    }

    /// Completes the job.
    ///
    /// # Errors
    /// There is no command, or something in it is not whole.
    pub(crate) fn into_spec(self, workdir: Option<TreeId>) -> Result<JobSpec, Problem> {
        let program = self.command.first().filter(|program| !program.is_empty());
        let program = program.ok_or_else(|| {
            let what = "there is nothing to run";
            Problem::new(Code::BadJobFile, what, "no command was given")
                .help("Put the command after `--`, or `command:` into the job file.")
        })?;
        if self.command.iter().any(|word| word.contains('\0')) {
            let why = "a program's argument cannot have a NUL byte in it";
            return Err(Problem::new(
                Code::BadJobFile,
                "the command cannot be run",
                why,
            ));
        }
        gpu::check_share(self.request.gpu.as_ref())?;
        let name = match self.name {
            Some(name) => name,
            None => program.rsplit('/').next().unwrap_or(program).to_owned(),
        };
        let (mut datasets, mut artifacts) = (Vec::new(), Vec::new());
        for mount in self.datasets {
            match mount {
                Mount::Dataset(mount) => datasets.push(mount),
                Mount::Artifacts(mount) => artifacts.push(mount),
            }
        }
        Ok(JobSpec {
            name,
            command: self.command,
            env: self.env,
            image: self.image.unwrap_or(Image::Host),
            registry_login: None,
            workdir,
            request: self.request,
            datasets,
            outputs: self.outputs,
            network: self.network.unwrap_or(Network::None),
            isolation: self.isolation,
            sandbox: self.sandbox,
            priority: self.priority.unwrap_or(Priority::Normal),
            max_runtime: self.max_runtime,
            retries: self.retries.unwrap_or_default(),
            array: self.array,
            project: self.project,
            visibility: self.visibility,
            secrets: self.secrets.into_iter().collect(),
            artifacts,
            after: self.after,
            hold: self.hold,
            labels: self.labels,
            nodes: self.nodes,
            checkpoint: self.checkpoint,
            params: None,
        })
    }
}

#[cfg(test)]
mod tests;
