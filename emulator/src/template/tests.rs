use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::{HttpRoute, StartingPosition, Template};

fn of_this_repository(parameters: &BTreeMap<String, String>) -> Template {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml");
    Template::load(&path, parameters).expect("the repository's template is readable")
}

fn refusal(text: &str) -> String {
    match Template::parse(text, &BTreeMap::new()) {
        Ok(template) => format!("accepted: {template:?}"),
        Err(error) => error.to_string(),
    }
}

/// A function with one event. `properties` are lines of YAML.
fn with_msk_event(properties: &str) -> String {
    let lines = properties
        .lines()
        .map(|line| format!("            {}\n", line.trim_end()))
        .collect::<String>();

    format!(
        "Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      CodeUri: functions/f\n      \
         Events:\n        E:\n          Type: MSK\n          Properties:\n{lines}"
    )
}

#[test]
fn the_repositorys_functions_have_names_limits_and_variables() {
    let template = of_this_repository(&BTreeMap::new());
    let names: Vec<_> = template
        .functions
        .iter()
        .map(|function| function.name.as_str())
        .collect();

    assert_eq!(
        names,
        [
            "market-data-api",
            "market-data-poller",
            "market-data-averager",
            "market-data-upkeep"
        ]
    );

    let api = &template.functions[0];
    assert_eq!(api.binary, "api");
    assert_eq!(
        api.arn,
        "arn:aws:lambda:us-east-1:000000000000:function:market-data-api"
    );
    assert_eq!((api.timeout, api.memory_mb), (Duration::from_secs(29), 256));
    assert_eq!(api.environment["POLLING_INTERVAL"], "10");
    assert_eq!(api.environment["SCHEDULE_GROUP"], "market-data-polling");

    let poller_arn = "arn:aws:lambda:us-east-1:000000000000:function:market-data-poller";
    assert_eq!(api.environment["SCHEDULE_TARGET_ARN"], poller_arn);
    assert_eq!(
        api.environment["SCHEDULE_ROLE_ARN"],
        "arn:aws:iam::000000000000:role/market-data-scheduler"
    );

    let poller = &template.functions[1];
    assert_eq!(
        (poller.async_retry_attempts, poller.async_max_age),
        (2, Duration::from_secs(3600))
    );
    assert_eq!(
        (
            poller.reserved_concurrency,
            template.functions[3].reserved_concurrency
        ),
        (None, Some(1))
    );
}

#[test]
fn the_repositorys_wiring_is_read_whole() {
    let template = of_this_repository(&BTreeMap::new());

    let default = HttpRoute {
        method: None,
        path: None,
        function: "market-data-api".to_owned(),
    };

    assert_eq!(template.http_routes, [default]);
    assert_eq!(template.schedule_groups, ["market-data-polling"]);
    assert_eq!(template.custom_resources, ["market-data-upkeep"]);

    let schedule = &template.schedules[0];
    assert_eq!(
        (schedule.name.as_str(), schedule.group.as_str()),
        ("UpkeepRegularly", "default")
    );
    assert_eq!(
        (schedule.expression.as_str(), schedule.retry_attempts),
        ("rate(10 minutes)", 2)
    );

    let mapping = &template.event_source_mappings[0];
    assert_eq!(
        (mapping.id.as_str(), mapping.topic.as_str()),
        ("averager-prices", "price-events")
    );
    assert_eq!(mapping.function, "market-data-averager");
    assert_eq!(mapping.starting_position, StartingPosition::TrimHorizon);

    assert_eq!(
        (mapping.batch_size, mapping.batching_window),
        (10_000, Duration::ZERO)
    );
    assert_eq!(
        (mapping.max_retry_attempts, mapping.bisect_on_error),
        (Some(40), true)
    );
    assert_eq!(
        mapping.on_failure_topic.as_deref(),
        Some("price-events.dlt")
    );
    assert!(mapping.event_source_arn.starts_with("arn:aws:kafka:"));
}

/// `CloudFormation` updates a custom resource only if one of its properties changes.
#[test]
fn the_deployment_invokes_upkeep_again_whenever_upkeep_s_code_changes() {
    let text = include_str!("../../../template.yaml");
    let document: serde_yaml_ng::Value = serde_yaml_ng::from_str(text).unwrap();

    let upkeep = &document["Resources"]["Upkeep"]["Properties"];
    assert_eq!(
        upkeep["AutoPublishAlias"], "live",
        "it publishes a version of each code"
    );

    let serde_yaml_ng::Value::Tagged(version) =
        &document["Resources"]["AtDeploy"]["Properties"]["UpkeepVersion"]
    else {
        panic!("the custom resource names no version");
    };

    assert_eq!(
        (version.tag.to_string().as_str(), version.value.as_str()),
        ("!Ref", Some("Upkeep.Version"))
    );
}

#[test]
fn given_parameters_replace_defaults_and_fill_what_has_none() {
    let given = [
        ("KafkaPriceTopic", "ticks"),
        ("DatabaseUrl", "postgres://localhost/prices"),
    ];
    let given = given
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();

    let template = of_this_repository(&given);

    assert_eq!(template.event_source_mappings[0].topic, "ticks");
    assert_eq!(
        template.functions[0].environment["DATABASE_URL"],
        "postgres://localhost/prices"
    );
}

#[test]
fn a_variable_without_a_value_is_left_out() {
    let template = of_this_repository(&BTreeMap::new());
    assert!(
        !template.functions[0]
            .environment
            .contains_key("DATABASE_URL")
    );
}

#[test]
fn long_forms_of_intrinsic_functions_mean_the_same_as_the_short_ones() {
    let text = "
Resources:
  F:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: { 'Fn::Join': ['-', [a, { Ref: 'AWS::Region' }]] }
      CodeUri: functions/f/
      Environment:
        Variables:
          ARN: { 'Fn::GetAtt': [F, Arn] }
          SUB: { 'Fn::Sub': ['${Own}/${!Literal}/${F.Arn}', { Own: mine }] }
";

    let template = Template::parse(text, &BTreeMap::new()).unwrap();

    let function = &template.functions[0];
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:a-us-east-1";

    assert_eq!(
        (function.arn.as_str(), function.environment["ARN"].as_str()),
        (arn, arn)
    );
    assert_eq!(
        function.environment["SUB"],
        format!("mine/${{Literal}}/{arn}")
    );
}

#[test]
fn endless_retries_are_capped_when_failures_have_somewhere_to_go() {
    let event = "Stream: arn:x\nTopics: [t]\nStartingPosition: LATEST\n";

    let retries = |more: &str| {
        let text = with_msk_event(&format!("{event}{more}"));
        Template::parse(&text, &BTreeMap::new())
            .unwrap()
            .event_source_mappings[0]
            .max_retry_attempts
    };

    assert_eq!(retries(""), None);
    assert_eq!(
        retries("DestinationConfig: { OnFailure: { Destination: 'kafka://dead' } }"),
        Some(10)
    );
    assert_eq!(
        retries("MaximumRetryAttempts: 3\nProvisionedPollerConfig: {}"),
        Some(3)
    );
}

#[test]
fn errors_name_the_place_and_what_was_expected() {
    let place = "Resources.F.Properties.Events.E.Properties";
    let event = "Stream: arn:x\nTopics: [t]\nStartingPosition: LATEST\n";

    for (properties, expected) in [
        (
            "Topics: [t]".to_owned(),
            format!("{place}.Stream: is required"),
        ),
        (
            format!("{event}BatchSize: 10001"),
            format!("{place}.BatchSize: must be 1 to 10000"),
        ),
        (
            format!("{event}BatchSize: many"),
            format!("{place}.BatchSize: must be 1 to 10000"),
        ),
        (
            format!("{event}FilterCriteria: {{}}"),
            format!("{place}.FilterCriteria: the emulator does not know this property"),
        ),
        (
            format!("{event}BatchSize: !Ref Nobody"),
            format!("{place}.BatchSize: there is no parameter or resource Nobody"),
        ),
        (
            format!("{event}BatchSize: !Select [0, [1]]"),
            format!("{place}.BatchSize: the emulator does not know the intrinsic function Select"),
        ),
        (
            format!("{event}MaximumRetryAttempts: 1"),
            format!("{place}.MaximumRetryAttempts: needs ProvisionedPollerConfig beside it"),
        ),
        (
            "Stream: arn:x\nTopics: ['..']\nStartingPosition: LATEST\n".to_owned(),
            format!("{place}.Topics.0: must be the name of a topic"),
        ),
        (
            format!("{event}DestinationConfig: {{ OnFailure: {{ Destination: 'kafka://..' }} }}"),
            format!(
                "{place}.DestinationConfig.OnFailure.Destination: must be kafka:// and the name of a topic"
            ),
        ),
        (
            format!("{event}DestinationConfig: {{ OnFailure: {{ Destination: 'kafka://t' }} }}"),
            format!(
                "{place}.DestinationConfig.OnFailure.Destination: must be another topic than the one that is read"
            ),
        ),
    ] {
        assert_eq!(refusal(&with_msk_event(&properties)), expected);
    }
}

#[test]
fn what_would_change_behaviour_unseen_is_refused() {
    assert_eq!(
        refusal("Resources: { Q: { Type: 'AWS::SQS::Queue' } }"),
        "Resources.Q.Type: the emulator does not know resources of type AWS::SQS::Queue"
    );
    assert_eq!(
        refusal("Resources: { Q: { Type: 'AWS::IAM::Role', Condition: Sometimes } }"),
        "Resources.Q.Condition: the emulator does not know this property"
    );

    let sqs = with_msk_event("Queue: q").replace("Type: MSK", "Type: SQS");
    assert_eq!(
        refusal(&sqs),
        "Resources.F.Properties.Events.E.Type: the emulator does not know events of type SQS"
    );
}

#[test]
fn a_name_that_refers_to_itself_is_an_error_rather_than_a_hang() {
    let text = "Resources: { F: { Type: 'AWS::Serverless::Function', Properties: { CodeUri: f, FunctionName: !Ref F } } }";
    assert!(
        refusal(text).ends_with("refers to itself"),
        "{}",
        refusal(text)
    );
}

#[test]
fn a_file_that_is_no_yaml_or_no_template_is_an_error() {
    assert!(refusal("a: [").starts_with("the template is not YAML"));
    assert_eq!(refusal("{}"), "Resources: is required");
    assert!(refusal("- a").ends_with("must be a map"));
}
