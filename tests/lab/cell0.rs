//! The bundled runbook in parts: a phase that has tests of its own is left out, or a few of its steps stand apart.

const BUNDLED: &str = include_str!("../../runbooks/cell0.toml");

/// Phase 0 alone. What names steps of Phase 1 is left out with them: the public name, and which servers have a role.
pub(crate) fn phase_0() -> String {
    let at = |text: &str| BUNDLED.find(text).unwrap_or_else(|| panic!("no {text}"));
    let (name, after, end) = (at("[[public_name]]"), at("[[component]]"), phase("1"));
    assert!(name < after && after < end);
    let cut = format!("{}{}", &BUNDLED[..name], &BUNDLED[after..end]);
    cut.split_inclusive('\n').filter(|line| !line.starts_with("servers = [")).collect()
}

/// Phase 1 alone.
pub(crate) fn phase_1() -> String {
    format!("{}{}", &BUNDLED[..phase("0")], &BUNDLED[phase("1")..])
}

/// Where a phase begins.
fn phase(id: &str) -> usize {
    BUNDLED.find(&format!("[[phase]]\nid = \"{id}\"")).expect("a phase")
}

/// Where a step begins, in a runbook.
pub(crate) fn step(runbook: &str, id: &str) -> usize {
    runbook.find(&format!("[[phase.step]]\nid = \"{id}\"")).expect("a step")
}

/// Phase 0 alone, cut into phases: each of these begins with this step.
pub(crate) fn phase_0_apart(phases: &[(&str, &str)]) -> String {
    phases.iter().fold(phase_0(), |runbook, (phase, first)| {
        let (before, from) = runbook.split_at(step(&runbook, first));
        format!("{before}[[phase]]\nid = \"{phase}\"\ntitle = \"Apart\"\n\n{from}")
    })
}
