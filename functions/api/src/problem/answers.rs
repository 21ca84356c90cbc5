//! The error answers as the contract lists them, grouped by what an endpoint needs.

#![expect(
    dead_code,
    reason = "these types describe the contract; the answers themselves are made by `Problem`"
)]

use utoipa::IntoResponses;

use super::Problem;

macro_rules! problems {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $status:literal, $description:literal $(, $header:literal)?;)+ }) => {
        $(#[$doc])*
        #[derive(IntoResponses)]
        pub(crate) enum $name {
            $(
                #[response(
                    status = $status,
                    description = $description,
                    content_type = "application/problem+json",
                    $(headers(($header = u64, description = "Seconds")),)?
                )]
                $variant(Problem),
            )+
        }
    };
}

problems! {
    /// Problems of all endpoints.
    AlwaysProblems {
        ForeignPage = 403, "A page of another site had a browser send the request";
        BodyTooLarge = 413, "The body is too large: `detail` names the limit";
        Internal = 500, "Something went wrong on our side";
    }
}

problems! {
    /// Problems of endpoints with parameters.
    QueryProblems {
        Invalid = 422, "Parameters are missing, malformed, unknown or repeated: `errors` names each with its location";
    }
}

problems! {
    /// Problems of endpoints that read a body.
    BodyProblems {
        BadRequest = 400, "The body is not JSON, or the provider is not known (`detail` lists those that are) or needs a key that is not configured";
        NotJson = 415, "The body's `Content-Type` is not `application/json`";
        Invalid = 422, "Fields are missing, malformed, unknown or repeated: `errors` names each with its location";
    }
}

problems! {
    /// Problems of endpoints that need Postgres only.
    DatabaseProblems {
        Unavailable = 503, "Postgres is unavailable: try again after `Retry-After` seconds", "Retry-After";
    }
}

problems! {
    /// Problems of endpoints that write jobs and their schedules.
    ScheduleProblems {
        Unavailable = 503, "Postgres or the scheduler is unavailable: try again after `Retry-After` seconds", "Retry-After";
    }
}

problems! {
    /// Problems of endpoints that read stored series.
    NoSeries {
        BadRequest = 400, "The provider is not known: `detail` lists those that are";
        NotFound = 404, "No such series is stored";
    }
}

problems! {
    /// Problems of endpoints that list series.
    UnknownProvider {
        BadRequest = 400, "The provider is not known: `detail` lists those that are";
    }
}

problems! {
    /// Problems of the endpoint that answers with changes.
    ChangesGone {
        Gone = 410, "The changes since this cursor are not known any more: discard what you have, and begin again without `after`";
    }
}

problems! {
    /// Problems of endpoints that answer with files.
    FileProblems {
        NotAcceptable = 406, "`Accept` lists none of the forms: `detail` does";
        BeyondTheEnd = 416, "`Range` begins beyond the end of the file";
    }
}

problems! {
    /// Problems of endpoints that ask a provider and publish its quotes.
    ProviderProblems {
        BadRequest = 400, "The provider is not known: `detail` lists those that are; or it needs a key that is not configured";
        NotFound = 404, "The provider does not know the symbol";
        BadGateway = 502, "The provider has no usable price for the symbol, or its plan does not include it";
        Unavailable = 503, "No provider that may answer is available now, or Postgres or Kafka is unavailable: try again after `Retry-After` seconds", "Retry-After";
    }
}

problems! {
    /// Problems of endpoints whose path names a file that may not exist.
    PathNotFound {
        NotFound = 404, "There is nothing at this path";
    }
}

problems! {
    /// Problems of endpoints about one job.
    JobNotFound {
        NotFound = 404, "There is no such job";
    }
}

problems! {
    /// Problems of endpoints about one rejected event.
    RejectedNotFound {
        NotFound = 404, "There is no such rejected event";
    }
}

problems! {
    /// Problems of the endpoint that sends one rejected event again.
    RejectedProblems {
        Conflict = 409, "It was sent three times, has no value, or is of another topic";
    }
}

problems! {
    /// Problems of endpoints that send rejected events again.
    RedriveProblems {
        Unavailable = 503, "Postgres or Kafka is unavailable: try again after `Retry-After` seconds", "Retry-After";
    }
}

problems! {
    /// Problems of endpoints that need Kafka only.
    KafkaProblems {
        Unavailable = 503, "Kafka is unavailable: try again after `Retry-After` seconds", "Retry-After";
    }
}

problems! {
    /// Problems of endpoints about one run.
    RunNotFound {
        NotFound = 404, "There is no such job, or it has no such run";
    }
}

problems! {
    /// Problems of the endpoint that asks for a run.
    RunProblems {
        Unavailable = 503, "Postgres is unavailable, or the poller cannot be invoked: `detail` says what to do", "Retry-After";
    }
}

problems! {
    /// Problems of endpoints that make jobs poll more.
    TooManyJobs {
        Conflict = 409, "A limit would be exceeded: on jobs, on the symbols of one job or of all, or on jobs whose interval is not a multiple of 60 s";
    }
}

problems! {
    /// Problems of endpoints that change a job.
    ChangeUnknown {
        GatewayTimeout = 504, "Whether the job is changed is not known; the same request may be sent again";
    }
}

problems! {
    /// Problems of the endpoint that creates jobs, if Postgres does not answer in the last step.
    OutcomeUnknown {
        GatewayTimeout = 504, "It is unknown whether the job was created: `detail` names it. Any other error means that none was created";
    }
}
