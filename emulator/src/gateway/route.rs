//! Which function answers a request: that of the most specific route, as in API Gateway.

use std::collections::BTreeMap;

use crate::template::HttpRoute;

/// A segment of a route's path. The more specific kinds come first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Literal(String),
    /// `{name}`: one segment.
    Parameter(String),
    /// `{name+}`: all remaining segments.
    Greedy(String),
}

#[derive(Debug)]
struct Route {
    /// As in events: `GET /jobs/{id}`, `ANY /jobs`, or `$default`.
    key: String,
    method: Option<String>,
    /// Absent for `$default`.
    segments: Option<Vec<Segment>>,
    function: String,
}

/// All routes, the most specific first.
#[derive(Debug)]
pub(super) struct RouteTable(Vec<Route>);

/// The route of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RouteMatch<'a> {
    pub(super) key: &'a str,
    pub(super) function: &'a str,
    pub(super) path_parameters: BTreeMap<&'a str, String>,
}

impl RouteTable {
    pub(super) fn new(routes: Vec<HttpRoute>) -> Self {
        let mut routes: Vec<_> = routes.into_iter().map(Route::new).collect();
        routes.sort_by_cached_key(|route| {
            let kinds: Vec<_> = route.segments.iter().flatten().map(rank).collect();
            (route.segments.is_none(), kinds, route.method.is_none())
        });
        Self(routes)
    }

    pub(super) fn find(&self, method: &str, path: &str) -> Option<RouteMatch<'_>> {
        self.0.iter().find_map(|route| {
            if route.method.as_deref().is_some_and(|own| own != method) {
                return None;
            }

            let path_parameters = match &route.segments {
                Some(segments) => parameters(segments, path)?,
                None => BTreeMap::new(),
            };

            Some(RouteMatch {
                key: &route.key,
                function: &route.function,
                path_parameters,
            })
        })
    }
}

impl Route {
    fn new(route: HttpRoute) -> Self {
        let key = route.path.as_ref().map_or_else(
            || "$default".to_owned(),
            |path| format!("{} {path}", route.method.as_deref().unwrap_or("ANY")),
        );

        let segments = route.path.map(|path| {
            path.trim_start_matches('/')
                .split('/')
                .map(segment)
                .collect()
        });

        Self {
            key,
            method: route.method,
            segments,
            function: route.function,
        }
    }
}

fn segment(text: &str) -> Segment {
    match text
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
    {
        Some(name) => name.strip_suffix('+').map_or_else(
            || Segment::Parameter(name.to_owned()),
            |name| Segment::Greedy(name.to_owned()),
        ),
        None => Segment::Literal(text.to_owned()),
    }
}

fn rank(segment: &Segment) -> u8 {
    match segment {
        Segment::Literal(_) => 0,
        Segment::Parameter(_) => 1,
        Segment::Greedy(_) => 2,
    }
}

/// Returns the values of the path's parameters, or `None` if the path does not match.
fn parameters<'a>(segments: &'a [Segment], path: &str) -> Option<BTreeMap<&'a str, String>> {
    let mut parameters = BTreeMap::new();
    let mut rest = Some(path.trim_start_matches('/'));

    for segment in segments {
        let left = rest?;
        let (first, after) = left
            .split_once('/')
            .map_or((left, None), |(first, after)| (first, Some(after)));

        match segment {
            Segment::Literal(text) if text == first => rest = after,
            Segment::Parameter(name) if !first.is_empty() => {
                parameters.insert(name.as_str(), first.to_owned());
                rest = after;
            }
            Segment::Greedy(name) if !left.is_empty() => {
                parameters.insert(name.as_str(), left.to_owned());
                rest = None;
            }
            _ => return None,
        }
    }

    rest.is_none().then_some(parameters)
}

#[cfg(test)]
mod tests {
    use super::RouteTable;
    use crate::template::HttpRoute;

    fn table(routes: &[(&str, &str)]) -> RouteTable {
        let routes = routes.iter().map(|(method, path)| HttpRoute {
            method: Some((*method).to_owned()).filter(|method| method != "ANY"),
            path: Some((*path).to_owned()).filter(|path| path != "$default"),
            function: format!("{method} {path}"),
        });
        RouteTable::new(routes.collect())
    }

    #[test]
    fn the_most_specific_route_wins_whatever_their_order() {
        let table = table(&[
            ("ANY", "$default"),
            ("ANY", "/jobs/{rest+}"),
            ("ANY", "/jobs/{id}"),
            ("GET", "/jobs/{id}"),
            ("GET", "/jobs/new"),
        ]);

        for (method, path, function) in [
            ("GET", "/jobs/new", "GET /jobs/new"),
            ("GET", "/jobs/1", "GET /jobs/{id}"),
            ("PUT", "/jobs/1", "ANY /jobs/{id}"),
            ("GET", "/jobs/1/runs", "ANY /jobs/{rest+}"),
            ("GET", "/jobs", "ANY $default"),
            ("GET", "/", "ANY $default"),
        ] {
            assert_eq!(
                table.find(method, path).map(|route| route.function),
                Some(function),
                "{method} {path}"
            );
        }
    }

    #[test]
    fn path_parameters_carry_what_stood_in_their_place() {
        let table = table(&[("GET", "/a/{x}/{rest+}")]);
        let found = table.find("GET", "/a/1/2/3").unwrap();
        assert_eq!(found.key, "GET /a/{x}/{rest+}");
        assert_eq!(
            found.path_parameters,
            [("x", "1".to_owned()), ("rest", "2/3".to_owned())].into()
        );
    }

    #[test]
    fn a_request_without_a_route_has_none() {
        let table = table(&[("GET", "/a")]);
        assert_eq!(table.find("POST", "/a"), None);
        assert_eq!(table.find("GET", "/a/b"), None);
        assert_eq!(table.find("GET", "/"), None);
    }
}
