//! A job's specification as it is kept: a million of them wait, and most say little. What is read often lies here, the
//! rest is a word where nothing was said, and is shared with the job before where that said the same.

mod words;

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{Arc, LazyLock},
};

use common::{
    id::TreeId,
    image::Image,
    job::{After, ArraySpec, ArtifactMount, Checkpoint, DatasetMount, JobSpec, Retries},
    label::WantedLabel,
    name::Name,
    resources::Request,
    seal::Sealed,
    secret::SecretName,
    status::{MinIsolation, Network, Priority, SandboxScope, Visibility},
    time::Span,
};
use serde::{Deserialize, Serialize, Serializer};

use self::words::Words;

/// What was asked for. Stored as [`JobSpec`] would be, without what was not said.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Row")]
pub(crate) struct Specification {
    words: Words,
    pub(crate) workdir: Option<TreeId>,
    pub(crate) request: Request,
    pub(crate) priority: Priority,
    pub(crate) max_runtime: Option<Span>,
    rest: Option<Arc<Rest>>,
}

/// What most jobs say nothing of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Rest {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) env: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "is_host")]
    pub(crate) image: Image,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) registry_login: Option<Sealed>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) datasets: Vec<DatasetMount>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) outputs: Vec<String>,
    #[serde(skip_serializing_if = "is_without")]
    pub(crate) network: Network,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) isolation: Option<MinIsolation>,
    #[serde(skip_serializing_if = "is_usual")]
    pub(crate) retries: Retries,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) array: Option<ArraySpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) project: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) visibility: Option<Visibility>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) secrets: Vec<SecretName>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) artifacts: Vec<ArtifactMount>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) after: Vec<After>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) hold: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) labels: Vec<WantedLabel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nodes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) checkpoint: Option<Checkpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) params: Option<TreeId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sandbox: Option<SandboxScope>,
}

/// Where nothing more was said.
static NOTHING_MORE: LazyLock<Rest> = LazyLock::new(Rest::default);

/// As it is stored.
#[derive(Deserialize)]
struct Row {
    name: String,
    command: Vec<String>,
    #[serde(default)]
    workdir: Option<TreeId>,
    request: Request,
    priority: Priority,
    #[serde(default)]
    max_runtime: Option<Span>,
    #[serde(flatten)]
    rest: Rest,
}

/// The same, to be written.
#[derive(Serialize)]
struct Written<'a> {
    name: &'a str,
    command: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workdir: Option<TreeId>,
    request: &'a Request,
    priority: Priority,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_runtime: Option<Span>,
    #[serde(flatten)]
    rest: &'a Rest,
}

impl Specification {
    pub(crate) fn name(&self) -> &str {
        self.words.first()
    }

    /// Returns the program and its arguments.
    pub(crate) fn command(&self) -> Vec<String> {
        self.words.others().map(str::to_owned).collect()
    }

    /// Returns it as it came.
    pub(crate) fn to_spec(&self) -> JobSpec {
        let rest = Rest::clone(self);
        JobSpec {
            name: self.name().to_owned(),
            command: self.command(),
            env: rest.env,
            image: rest.image,
            registry_login: rest.registry_login,
            workdir: self.workdir,
            request: self.request.clone(),
            datasets: rest.datasets,
            outputs: rest.outputs,
            network: rest.network,
            isolation: rest.isolation,
            priority: self.priority,
            max_runtime: self.max_runtime,
            retries: rest.retries,
            array: rest.array,
            project: rest.project,
            visibility: rest.visibility,
            secrets: rest.secrets,
            artifacts: rest.artifacts,
            after: rest.after,
            hold: rest.hold,
            labels: rest.labels,
            nodes: rest.nodes,
            checkpoint: rest.checkpoint,
            params: rest.params,
            sandbox: rest.sandbox,
        }
    }

    /// Returns one that differs in what each task asks for.
    pub(crate) fn asking(&self, request: Request) -> Self {
        Self {
            request,
            ..self.clone()
        }
    }

    pub(crate) fn forget_login(&mut self) {
        if self.registry_login.is_some() {
            let mut rest = Rest::clone(self);
            rest.registry_login = None;
            self.rest = rest.kept();
        }
    }

    /// Holds what the job before holds, where both say the same.
    pub(crate) fn share(&mut self, before: &Self) {
        if self.rest == before.rest {
            self.rest.clone_from(&before.rest);
        }
    }

    /// Returns what was sent along with it.
    pub(crate) fn sent(&self) -> impl Iterator<Item = TreeId> {
        self.workdir.into_iter().chain(self.params)
    }

    pub(crate) fn task_count(&self) -> u32 {
        let tasks = self.array.as_ref().map(ArraySpec::task_count);
        tasks.or(self.gang()).unwrap_or(1)
    }

    /// Returns how many tasks its gang has, where it is one.
    pub(crate) fn gang(&self) -> Option<u32> {
        self.nodes.filter(|nodes| *nodes > 1)
    }
}

impl Deref for Specification {
    type Target = Rest;

    fn deref(&self) -> &Rest {
        self.rest.as_deref().unwrap_or(&NOTHING_MORE)
    }
}

impl From<JobSpec> for Specification {
    fn from(spec: JobSpec) -> Self {
        Self::from(Row::from(spec))
    }
}

impl From<JobSpec> for Row {
    fn from(spec: JobSpec) -> Self {
        Self {
            name: spec.name,
            command: spec.command,
            workdir: spec.workdir,
            request: spec.request,
            priority: spec.priority,
            max_runtime: spec.max_runtime,
            rest: Rest {
                env: spec.env,
                image: spec.image,
                registry_login: spec.registry_login,
                datasets: spec.datasets,
                outputs: spec.outputs,
                network: spec.network,
                isolation: spec.isolation,
                retries: spec.retries,
                array: spec.array,
                project: spec.project,
                visibility: spec.visibility,
                secrets: spec.secrets,
                artifacts: spec.artifacts,
                after: spec.after,
                hold: spec.hold,
                labels: spec.labels,
                nodes: spec.nodes,
                checkpoint: spec.checkpoint,
                params: spec.params,
                sandbox: spec.sandbox,
            },
        }
    }
}

impl From<Row> for Specification {
    fn from(row: Row) -> Self {
        Self {
            words: Words::of(&row.name, &row.command),
            workdir: row.workdir,
            request: row.request,
            priority: row.priority,
            max_runtime: row.max_runtime,
            rest: row.rest.kept(),
        }
    }
}

impl Serialize for Specification {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = Written {
            name: self.name(),
            command: self.words.others().collect(),
            workdir: self.workdir,
            request: &self.request,
            priority: self.priority,
            max_runtime: self.max_runtime,
            rest: self,
        };
        written.serialize(serializer)
    }
}

impl Rest {
    fn kept(self) -> Option<Arc<Self>> {
        (self != *NOTHING_MORE).then(|| Arc::new(self))
    }
}

impl Default for Rest {
    /// Returns what a job is that says nothing more than what it runs.
    fn default() -> Self {
        Row::from(JobSpec::of(Vec::new())).rest
    }
}

fn is_host(image: &Image) -> bool {
    *image == Image::Host
}

fn is_without(network: &Network) -> bool {
    *network == Network::None
}

fn is_usual(retries: &Retries) -> bool {
    *retries == NOTHING_MORE.retries
}
