//! `--only` on the project's own template.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;

const SHARED: [(&str, &str); 2] = [
    ("DATABASE_URL", "postgres://me@127.0.0.1/prices"),
    ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092"),
];

fn of(only: &[&str], variables: &[(&str, &str)]) -> Result<(Template, Parts), String> {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml");
    let template = Template::load(&template, &BTreeMap::new()).unwrap();
    let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();

    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));

    let settings = Settings::read(variables.collect()).unwrap();
    select(template, &only, &settings).map_err(|unusable| unusable.to_string())
}

fn of_parts(whole: bool, gateway: bool, scheduler: bool, deployed_by: &str) -> Parts {
    Parts {
        whole,
        gateway,
        scheduler,
        deployed_by: deployed_by.to_owned(),
    }
}

fn binaries(template: &Template) -> Vec<&str> {
    template
        .functions
        .iter()
        .map(|function| function.binary.as_str())
        .collect()
}

#[test]
fn without_it_and_with_all_names_everything_runs_here_and_nothing_must_be_set() {
    for only in [
        &[][..],
        &["averager", "api", "upkeep", "market-data-poller"],
    ] {
        let (template, parts) = of(only, &[]).unwrap();
        assert_eq!(binaries(&template), ["api", "poller", "averager", "upkeep"]);
        assert_eq!(parts, of_parts(true, true, true, ""));
    }
}

#[test]
fn the_averager_has_its_event_source_mapping_and_nothing_else() {
    let (template, parts) = of(&["averager"], &SHARED).unwrap();
    assert_eq!(binaries(&template), ["averager"]);
    assert_eq!(template.event_source_mappings.len(), 1);
    assert!(template.http_routes.is_empty() && template.schedules.is_empty());
    assert_eq!(parts, of_parts(false, false, false, "upkeep"));
}

#[test]
fn the_scheduler_and_the_deployment_are_with_poller_and_upkeep_and_the_gateway_with_the_api() {
    let (template, parts) = of(&["poller", "upkeep"], &SHARED).unwrap();
    assert!(template.event_source_mappings.is_empty() && template.http_routes.is_empty());
    assert_eq!(
        (template.schedules.len(), template.schedule_groups.len()),
        (1, 1)
    );
    assert_eq!(parts, of_parts(false, false, true, ""));

    let scheduler = [
        SHARED.as_slice(),
        &[("AWS_ENDPOINT_URL_SCHEDULER", "http://poller:8081")],
    ]
    .concat();
    let (_, parts) = of(&["api"], &scheduler).unwrap();
    assert_eq!(parts, of_parts(false, true, false, "upkeep"));
}

#[test]
fn a_function_that_does_not_exist_is_named_beside_those_that_do() {
    assert_eq!(
        of(&["averager", "avrager"], &SHARED).unwrap_err(),
        "--only: there is no function 'avrager'; there are api, poller, averager and upkeep"
    );
}

#[test]
fn what_the_scheduler_invokes_is_not_split() {
    for only in ["poller", "upkeep"] {
        let refusal = of(&["api", only], &SHARED).unwrap_err();
        assert!(
            refusal.starts_with("--only: ") && refusal.contains("poller"),
            "{refusal}"
        );
        assert!(
            refusal.contains("upkeep") && refusal.contains("run together"),
            "{refusal}"
        );
    }
}

#[test]
fn what_emulators_share_must_be_named() {
    let [database, kafka] = SHARED;
    let of = |only: &[&str], variables: &[(&str, &str)]| of(only, variables).unwrap_err();
    assert!(of(&["averager"], &[]).ends_with("set DATABASE_URL and KAFKA_BOOTSTRAP_SERVERS"));
    assert!(of(&["averager"], &[database]).ends_with("set KAFKA_BOOTSTRAP_SERVERS"));
    assert!(of(&["averager"], &[kafka]).ends_with("set DATABASE_URL"));

    let refusal = of(&["api"], &SHARED);
    assert!(
        refusal.contains("poller and upkeep: set AWS_ENDPOINT_URL_SCHEDULER"),
        "{refusal}"
    );
}
