// Types of the library, from its npm package, which tools/page/install installs for the check.
export * from "lightweight-charts";
