//! The short name of a GPU's model, as people ask for it: `rtx-4090`, `h200`.

/// Words of a driver's name that say nothing people ask for: vendor, brand, form factor, kind of memory.
const NOISE: [&str; 13] = [
    "nvidia",
    "geforce",
    "tesla",
    "quadro",
    "graphics",
    "gpu",
    "generation",
    "pcie",
    "nvl",
    "hbm2",
    "hbm2e",
    "hbm3",
    "hbm3e",
];

/// Returns the driver's name for a GPU without vendor, brand, form factor and memory, in lower case:
/// `NVIDIA GeForce RTX 4090` is `rtx-4090`, `NVIDIA A100-SXM4-80GB` is `a100`.
pub fn short_model(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty() && !NOISE.contains(word) && !is_size_or_socket(word))
        .collect();
    if words.is_empty() {
        "unknown".to_owned()
    } else {
        words.join("-")
    }
}

fn is_size_or_socket(word: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    word.strip_suffix("gb").is_some_and(digits)
        || word
            .strip_prefix("sxm")
            .is_some_and(|rest| rest.is_empty() || digits(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_named_as_people_ask_for_them() {
        for (name, expect) in [
            ("NVIDIA GeForce RTX 4090", "rtx-4090"),
            ("NVIDIA H200", "h200"),
            ("NVIDIA A100-SXM4-80GB", "a100"),
            ("NVIDIA H100 80GB HBM3", "h100"),
            ("NVIDIA H100 PCIe", "h100"),
            ("Tesla T4", "t4"),
            ("NVIDIA RTX 6000 Ada Generation", "rtx-6000-ada"),
            ("NVIDIA GeForce RTX 3080 Laptop GPU", "rtx-3080-laptop"),
            ("", "unknown"),
            ("\u{1b}[31mNVIDIA", "31mnvidia"),
        ] {
            assert_eq!(short_model(name), expect, "{name}");
        }
    }
}
