use std::path::Path;

use std::collections::BTreeMap;

use common::{
    id::{JobId, TreeId},
    job::JobNumber,
    resources::Allocation,
    wire::agent::MountedTree,
};

use super::{identity::HOST_UIDS, *};

fn spec() -> AttemptSpec {
    AttemptSpec {
        org: "lab".parse().unwrap(),
        job_number: JobNumber(42),
        job_name: "train".to_owned(),
        submitter: "alice".parse().unwrap(),
        own_machine: false,
        task_count: 8,
        command: vec!["./train".to_owned(), "--depth=3".to_owned()],
        env: BTreeMap::from([
            ("DEPTH".to_owned(), "3".to_owned()),
            ("COMPUTE_SHARE_JOB_ID".to_owned(), "forged".to_owned()),
        ]),
        image: common::wire::agent::AttemptImage::Host,
        registry_login: false,
        secrets: Vec::new(),
        strong: false,
        workdir: None,
        allocation: Allocation {
            cpu: MilliCpu(1500),
            memory: Bytes::gib(2),
            disk: Bytes::gib(10),
            gpus: vec!["GPU-b".to_owned()],
            gpu_shares: std::collections::BTreeMap::new(),
        },
        datasets: vec![MountedTree {
            name: "digits@3".to_owned(),
            tree: TreeId::new([1; 32]),
            path: "/data/digits".to_owned(),
            lazy: false,
        }],
        outputs: Vec::new(),
        network: common::status::Network::None,
        max_runtime: Some(Span::from_secs(60)),
        grace: Span::from_secs(10),
        project: None,
        nodes: Vec::new(),
        checkpoint: None,
        restore: None,
        params: None,
        shares: false,
    }
}

fn host(superuser: bool) -> Host {
    Host {
        superuser,
        cgroup: Cgroup::None,
        top: BTreeMap::from([("bin".to_owned(), TopEntry::Link("usr/bin".to_owned()))]),
        gpus: BTreeMap::from([gpu("GPU-a", 0), gpu("GPU-b", 1)]),
        backend: Backend::Native,
        tools: Tools::default(),
        fuse: None,
    }
}

fn gpu(uuid: &str, minor: u32) -> (String, GpuFiles) {
    let node = format!("/dev/nvidia{minor}");
    let files = GpuFiles {
        nodes: [node.as_str(), "/dev/nvidiactl"]
            .map(|path| (path.to_owned(), path.into()))
            .into(),
        libraries: BTreeMap::from([
            ("libcuda.so.1".to_owned(), "/usr/lib/libcuda.so.550".into()),
            ("libodd.so.1".to_owned(), "/opt/driver/libodd.so.550".into()),
        ]),
        programs: BTreeMap::from([("nvidia-smi".to_owned(), "/usr/bin/nvidia-smi".into())]),
        env: BTreeMap::new(),
    };
    (uuid.to_owned(), files)
}

pub(super) fn planned(superuser: bool, number: u32) -> SandboxPlan {
    planned_for(&spec(), superuser, number)
}

fn planned_for(spec: &AttemptSpec, superuser: bool, number: u32) -> SandboxPlan {
    planned_with(spec, superuser, number, None, None)
}

fn planned_with(
    spec: &AttemptSpec,
    superuser: bool,
    number: u32,
    image: Option<&ImageRoot>,
    params: Option<&Filled>,
) -> SandboxPlan {
    let folders = Folders {
        work: "/state/attempts/a/work".into(),
        output: "/state/attempts/a/output".into(),
        datasets: vec![DatasetFolder::Whole("/state/cache/0101".into())],
    };
    plan(&PlanInput {
        attempt: AttemptId {
            job: JobId::from_bytes([7; 16]),
            task: 5,
            number,
        },
        spec,
        machine: &"olive".parse().unwrap(),
        host: &host(superuser),
        image,
        folders: &folders,
        rules: &ProxyRules {
            denied: vec!["198.0.0.7".parse().unwrap()],
            most_bytes: None,
        },
        params,
    })
}

fn access_to<'a>(plan: &'a SandboxPlan, target: &str) -> Option<(&'a Path, Access)> {
    plan.mounts.iter().find_map(|mount| match &mount.content {
        Content::Bind { source, access, .. } if mount.target == target => {
            Some((source.as_path(), *access))
        }
        _ => None,
    })
}

#[test]
fn the_environment_is_exactly_what_is_listed() {
    let lines: Vec<String> = planned(true, 1)
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let expect = [
        "COMPUTE_SHARE_ATTEMPT=1",
        "COMPUTE_SHARE_JOB_ID=07070707-0707-0707-0707-070707070707",
        "COMPUTE_SHARE_JOB_NUMBER=42",
        "COMPUTE_SHARE_MACHINE=olive",
        "COMPUTE_SHARE_OUTPUT_DIR=/output",
        "COMPUTE_SHARE_TASK_COUNT=8",
        "COMPUTE_SHARE_TASK_INDEX=5",
        "CUDA_CACHE_PATH=/tmp/.cache/cuda",
        "CUDA_VISIBLE_DEVICES=GPU-b",
        "DEPTH=3",
        "HOME=/work",
        "LANG=C.UTF-8",
        "LD_LIBRARY_PATH=/.nvidia/lib",
        "NVIDIA_VISIBLE_DEVICES=GPU-b",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "TMPDIR=/tmp",
        "TORCHINDUCTOR_CACHE_DIR=/tmp/.cache/inductor",
        "TRITON_CACHE_DIR=/tmp/.cache/triton",
        "USER=job",
        "XDG_CACHE_HOME=/tmp/.cache",
    ];
    assert_eq!(lines, expect);
}

#[test]
fn a_task_of_a_gang_knows_its_peers() {
    let nodes = ["box", "lab-1"].map(|name| name.parse().unwrap());
    let spec = AttemptSpec {
        nodes: nodes.to_vec(),
        ..spec()
    };
    let env = planned_for(&spec, true, 1).env;
    let told =
        ["RANK", "COUNT", "NAMES"].map(|what| env[&format!("COMPUTE_SHARE_NODE_{what}")].as_str());
    assert_eq!(told, ["5", "2", "box,lab-1"]);
}

#[test]
fn what_a_line_of_parameters_makes_of_the_command_is_run() {
    let filled = Filled {
        command: vec!["./train".to_owned(), "--depth=7".to_owned()],
        line: r#"{"depth": 7}"#.to_owned(),
    };
    let plan = planned_with(&spec(), true, 1, None, Some(&filled));
    assert_eq!(plan.command, filled.command);
    assert_eq!(plan.env["COMPUTE_SHARE_PARAMS"], filled.line);
    assert!(!planned(true, 1).env.contains_key("COMPUTE_SHARE_PARAMS"));
}

#[test]
fn only_the_work_folder_and_the_output_are_writable() {
    let plan = planned(true, 1);
    let writable: Vec<&str> = plan
        .mounts
        .iter()
        .filter(|mount| {
            matches!(
                mount.content,
                Content::Bind {
                    access: Access::Writable,
                    ..
                }
            )
        })
        .map(|mount| mount.target.as_str())
        .collect();
    assert_eq!(writable, ["/work", "/output"]);
    assert_eq!(
        access_to(&plan, "/data/digits"),
        Some((Path::new("/state/cache/0101"), Access::Data))
    );
}

#[test]
fn only_granted_gpus_are_there() {
    let plan = planned(true, 1);
    let device = |path| access_to(&plan, path).map(|(_, access)| access);
    assert_eq!(device("/dev/nvidia1"), Some(Access::Device));
    assert_eq!(device("/dev/nvidia0"), None);
    assert_eq!(device("/dev/nvidiactl"), Some(Access::Device));
    let mut without = spec();
    without.allocation.gpus.clear();
    let plan = planned_for(&without, true, 1);
    let nvidia = |mount: &&Mount| mount.target.contains("nvidia");
    assert_eq!(plan.mounts.iter().find(nvidia), None);
    assert_eq!(plan.env["NVIDIA_VISIBLE_DEVICES"], "void");
    assert!(!plan.env.contains_key("CUDA_CACHE_PATH"));
}

#[test]
fn the_drivers_files_come_with_the_hosts_programs_or_are_put_beside_an_images() {
    let mut spec = spec();
    let library = |plan: &SandboxPlan, name: &str| {
        let target = format!("{GPU_FOLDER}/lib/{name}");
        access_to(plan, &target).map(|(source, access)| (source.to_owned(), access))
    };
    let host = planned_for(&spec, true, 1);
    assert_eq!(library(&host, "libcuda.so.1"), None, "it is in /usr");
    let odd = ("/opt/driver/libodd.so.550".into(), Access::ReadOnly);
    assert_eq!(library(&host, "libodd.so.1"), Some(odd));
    assert!(!host.env["PATH"].contains("nvidia"));

    spec.image = common::wire::agent::AttemptImage::Imported {
        name: "mine@1".to_owned(),
        tree: TreeId::new([2; 32]),
    };
    let own = "LD_LIBRARY_PATH".to_owned();
    spec.env.insert(own, "/opt/lib".to_owned());
    let image = planned_for(&spec, true, 1);
    let cuda = ("/usr/lib/libcuda.so.550".into(), Access::ReadOnly);
    assert_eq!(library(&image, "libcuda.so.1"), Some(cuda));
    assert_eq!(image.env["LD_LIBRARY_PATH"], "/.nvidia/lib:/opt/lib");
    assert!(image.env["PATH"].ends_with(":/.nvidia/bin"));
}

#[test]
fn addresses_are_bound_only_where_nothing_better_is_and_no_gpu_needs_them() {
    let mut spec = spec();
    assert_eq!(planned_for(&spec, false, 1).limits.mapped, None);
    spec.allocation.gpus.clear();
    let mapped = planned_for(&spec, false, 1).limits.mapped;
    assert_eq!(mapped, Some(Bytes::gib(2)));
}

#[test]
fn root_gives_every_attempt_a_user_of_its_own() {
    let uid = |number| match planned(true, number).identity {
        Identity::Private { uid } => uid,
        Identity::Agent => 0,
    };
    assert!((FIRST_HOST_UID..FIRST_HOST_UID + HOST_UIDS).contains(&uid(1)));
    assert_ne!(uid(1), uid(2));
    assert_eq!(planned(false, 1).identity, Identity::Agent);
}

#[test]
fn a_plan_comes_back_from_its_file() {
    let plan = planned(true, 1);
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<SandboxPlan>(&json).unwrap(), plan);
}

#[test]
fn the_proxys_address_is_told_unless_the_job_says_otherwise() {
    let mut spec = spec();
    assert_eq!(planned(true, 1).network, NetworkPlan::None);
    spec.network = common::status::Network::Internet;
    spec.env.insert("https_proxy".to_owned(), String::new());
    let plan = planned_for(&spec, true, 1);
    let NetworkPlan::Proxy(rules) = &plan.network else {
        panic!("{:?}", plan.network);
    };
    assert_eq!(rules.denied.len(), 1);
    let set: Vec<(&str, &str)> = plan
        .env
        .iter()
        .filter(|(name, _)| name.to_lowercase().ends_with("proxy"))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let (proxy, direct) = ("http://127.0.0.1:3128", "localhost,127.0.0.1,::1");
    let expect = [
        ("ALL_PROXY", proxy),
        ("HTTPS_PROXY", proxy),
        ("HTTP_PROXY", proxy),
        ("NO_PROXY", direct),
        ("all_proxy", proxy),
        ("http_proxy", proxy),
        ("https_proxy", ""),
        ("no_proxy", direct),
    ];
    assert_eq!(set, expect);
}

#[test]
fn a_full_network_has_a_name_server_and_no_proxy() {
    let mut spec = spec();
    spec.network = common::status::Network::Full;
    let plan = planned_for(&spec, true, 1);
    assert!(matches!(&plan.network, NetworkPlan::Full { nft, .. } if nft.is_absolute()));
    assert!(!plan.env.contains_key("HTTP_PROXY"));
    let text = Content::Text {
        text: "nameserver 10.0.2.3\n".to_owned(),
    };
    let mut mounts = plan.mounts.iter();
    assert!(mounts.any(|mount| mount.target == "/etc/resolv.conf" && mount.content == text));
}

#[test]
fn an_image_brings_its_programs_and_its_environment_but_nothing_of_ours() {
    let listed = BTreeMap::from([("usr".to_owned(), TopEntry::Folder)]);
    let env = [
        ("PATH", "/opt/bin:/bin"),
        ("HOME", "/root"),
        ("DEPTH", "9"),
        ("COMPUTE_SHARE_MACHINE", "forged"),
        ("NVIDIA_VISIBLE_DEVICES", "all"),
        ("LD_PRELOAD", "/usr/lib/theirs.so"),
    ];
    let image = ImageRoot {
        folder: "/cache/image".into(),
        folders: BTreeMap::from([("/".to_owned(), listed)]),
        env: env
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    };
    let plan = planned_with(&spec(), true, 1, Some(&image), None);
    for (name, value) in [
        ("PATH", "/opt/bin:/bin"),
        ("HOME", "/work"),
        ("DEPTH", "3"),
        ("COMPUTE_SHARE_MACHINE", "olive"),
        ("NVIDIA_VISIBLE_DEVICES", "GPU-b"),
        ("LD_PRELOAD", "/usr/lib/theirs.so"),
    ] {
        assert_eq!(plan.env[name], value, "{name}");
    }
    // The driver's files are the machine's with every image.
    let of_the_host = |mount: &&Mount| match &mount.content {
        Content::Bind { source, access, .. } => {
            *access == Access::ReadOnly
                && !source.starts_with("/cache/image")
                && !mount.target.starts_with(GPU_FOLDER)
        }
        _ => false,
    };
    assert_eq!(plan.mounts.iter().find(of_the_host), None);
    let usr = Some((Path::new("/cache/image/usr"), Access::ReadOnly));
    assert_eq!(access_to(&plan, "/usr"), usr);
}
