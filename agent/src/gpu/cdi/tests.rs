//! CDI files as toolkits write them, and as nobody should.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::*;

/// A machine's files in a folder, with one CDI file.
struct Host {
    root: tempfile::TempDir,
}

const ORDINARY: &str = r#"
cdiVersion: "1.1.0"
kind: nvidia.com/gpu
devices:
  - name: "0"
    containerEdits:
      deviceNodes: [{path: /dev/nvidia0}, {path: /dev/dri/card1}, {path: /dev/dri/renderD128}]
  - name: GPU-bbbb
    containerEdits:
      deviceNodes: [{path: /dev/nvidia1}]
      env: [CUDA_ODD=1]
  - name: all
    containerEdits:
      deviceNodes: [{path: /dev/nvidia0}, {path: /dev/nvidia1}]
containerEdits:
  env: [NVIDIA_VISIBLE_DEVICES=void, LD_PRELOAD=/tmp/evil.so]
  deviceNodes:
    - {path: /dev/nvidia-modeset}
    - {path: /dev/nvidia-uvm, hostPath: /dev/nvidia-uvm, permissions: rw}
    - {path: /dev/nvidiactl}
  hooks:
    - hookName: createContainer
      path: /usr/bin/nvidia-ctk
      args: [nvidia-ctk, hook, create-symlinks]
  mounts:
    - hostPath: /usr/lib/libcuda.so.550.90
      containerPath: /usr/lib/libcuda.so.550.90
      options: [ro, nosuid, nodev, bind]
    - {hostPath: /usr/bin/nvidia-smi, containerPath: /usr/bin/nvidia-smi}
    - {hostPath: /run/nvidia-persistenced/socket, containerPath: /run/nvidia-persistenced/socket}
    - {hostPath: /etc/vulkan/icd.d/nvidia_icd.json, containerPath: /etc/vulkan/icd.d/nvidia_icd.json}
"#;

impl Host {
    fn with(name: &str, text: &str) -> Self {
        let host = Self {
            root: tempfile::tempdir().unwrap(),
        };
        for folder in ["etc/cdi", "usr/lib", "usr/bin", "dev"] {
            fs::create_dir_all(host.path(folder)).unwrap();
        }
        for file in ["usr/lib/libcuda.so.550.90", "usr/bin/nvidia-smi"] {
            fs::write(host.path(file), file).unwrap();
        }
        let link = host.path("usr/lib/libcuda.so.1");
        std::os::unix::fs::symlink("libcuda.so.550.90", link).unwrap();
        host.write(name, text);
        host
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path("etc/cdi").join(name), text).unwrap();
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().canonicalize().unwrap().join(path)
    }

    fn read(&self) -> Found {
        let places = Places::under(self.root.path());
        read(&[self.path("etc/cdi")], &places)
    }

    /// Checks that nothing is taken and that the reason has these words.
    #[track_caller]
    fn refuses(&self, why: &str) {
        let found = self.read();
        assert!(found.devices.is_empty(), "{found:?}");
        assert!(found.refused[0].contains(why), "{:?}", found.refused);
    }
}

fn node(index: u32, uuid: &str) -> Node {
    Node {
        uuid: uuid.to_owned(),
        index,
        minor: Some(index),
    }
}

#[test]
fn nodes_libraries_programs_and_variables_are_taken_and_nothing_else() {
    let host = Host::with("nvidia.yaml", ORDINARY);
    let found = host.read();
    assert!(found.refused.is_empty(), "{:?}", found.refused);
    let first = found.of(&node(0, "GPU-aaaa")).unwrap();
    let nodes: Vec<&str> = first.nodes.keys().map(String::as_str).collect();
    let expect = [
        "/dev/dri/renderD128",
        "/dev/nvidia-uvm",
        "/dev/nvidia0",
        "/dev/nvidiactl",
    ];
    assert_eq!(nodes, expect);
    let cuda = host.path("usr/lib/libcuda.so.550.90");
    assert_eq!(first.libraries["libcuda.so.1"], cuda, "without its hook");
    assert_eq!(first.libraries["libcuda.so.550.90"], cuda);
    assert_eq!(first.libraries.len(), 2);
    assert_eq!(
        first.programs["nvidia-smi"],
        host.path("usr/bin/nvidia-smi")
    );
    let env: Vec<&str> = first.env.keys().map(String::as_str).collect();
    assert_eq!(env, ["NVIDIA_VISIBLE_DEVICES"]);
    let second = found.of(&node(1, "GPU-bbbb")).unwrap();
    assert!(!second.nodes.contains_key("/dev/nvidia0"));
    assert_eq!(second.env["CUDA_ODD"], "1");
}

#[test]
fn a_place_in_the_list_that_is_another_gpus_is_not_believed() {
    let found = Host::with("nvidia.yaml", ORDINARY).read();
    let mut moved = node(0, "GPU-cccc");
    moved.minor = Some(3);
    assert_eq!(found.of(&moved), None);
    assert_eq!(found.of(&node(7, "all")), None, "of more than one");
}

#[test]
fn json_is_read_and_other_kinds_of_devices_say_nothing() {
    let json = r#"{"cdiVersion": "0.6.0", "kind": "KIND", "devices":
        [{"name": "0", "containerEdits": {"deviceNodes": [{"path": "/dev/nvidia0"}]}}]}"#;
    let host = Host::with("a.json", &json.replace("KIND", "nvidia.com/gpu"));
    assert!(host.read().of(&node(0, "GPU-aaaa")).is_some());
    let host = Host::with("a.json", &json.replace("KIND", "vendor.com/net"));
    let found = host.read();
    assert!(found.devices.is_empty() && found.refused.is_empty());
}

#[test]
fn a_file_that_others_could_have_written_is_refused() {
    let host = Host::with("a.yaml", ORDINARY);
    let file = host.path("etc/cdi/a.yaml");
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&file, 0o646);
    host.refuses("others may change it");
    mode(&file, 0o644);
    mode(&host.path("etc/cdi"), 0o777);
    host.refuses("others may change it");
    mode(&host.path("etc/cdi"), 0o755);
    fs::rename(&file, host.path("a.yaml")).unwrap();
    std::os::unix::fs::symlink(host.path("a.yaml"), &file).unwrap();
    host.refuses("it is a link");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    host.refuses("it is no file");
    if rustix::process::geteuid().is_root() {
        let host = Host::with("a.yaml", ORDINARY);
        std::os::unix::fs::chown(host.path("etc/cdi/a.yaml"), Some(4242), None).unwrap();
        host.refuses("it belongs to another user");
    } else {
        eprintln!("not tried here: a file of another user needs root");
    }
}

#[test]
fn a_file_that_names_what_is_no_gpus_is_refused_whole() {
    let edits = |edits: &str| {
        format!(
            "kind: nvidia.com/gpu\ndevices:\n- name: '0'\n  containerEdits: \
             {{deviceNodes: [{{path: /dev/nvidia0}}]}}\ncontainerEdits: {{{edits}}}\n"
        )
    };
    for (text, why) in [
        (
            "deviceNodes: [{path: /dev/sda}]",
            "/dev/sda, which is not a GPU's",
        ),
        (
            "deviceNodes: [{path: /dev/nvidiactl, hostPath: /dev/mem}]",
            "/dev/mem",
        ),
        ("deviceNodes: [{path: /dev/nvidia-caps/../sda}]", "no path"),
        (
            "deviceNodes: [{path: /dev/nvidia1}]",
            "/dev/nvidia1 to every job",
        ),
        ("deviceNodes: [{path: nvidia1}]", "no path"),
        ("mounts: [{hostPath: /root/.ssh}]", "/root/.ssh"),
        ("mounts: [{hostPath: /usr/../etc/shadow}]", "no path"),
        ("mounts: [{hostPath: 'usr/lib/libcuda.so.1'}]", "no path"),
        ("mounts: [{hostPath: /}]", "no path"),
        ("mounts: 7", "cannot be read"),
    ] {
        Host::with("a.yaml", &edits(text)).refuses(why);
    }
    for garbage in [
        "\0\u{1b}[31m",
        "a: &a [*a, *a]",
        "[[[[[[[[",
        "kind: 3\nkind: 4",
    ] {
        Host::with("a.yaml", garbage).refuses("cannot be read");
    }
    Host::with("a.json", &"[".repeat(100_000)).refuses("cannot be read");
    let large = " ".repeat(usize::try_from(MAX_FILE_BYTES).unwrap() + 1);
    Host::with("a.json", &large).refuses("larger");
    let many = "{path: /dev/nvidiactl},".repeat(600);
    Host::with("a.yaml", &edits(&format!("deviceNodes: [{many}]"))).refuses("more than");
}

#[test]
fn a_library_that_is_a_link_out_of_the_systems_folders_is_left_out() {
    let host = Host::with("a.yaml", ORDINARY);
    let library = host.path("usr/lib/libcuda.so.550.90");
    fs::remove_file(&library).unwrap();
    fs::write(host.path("secret"), "").unwrap();
    std::os::unix::fs::symlink(host.path("secret"), &library).unwrap();
    let files = host.read().of(&node(0, "GPU-aaaa")).unwrap();
    assert!(files.libraries.is_empty(), "{files:?}");
}
