// The server's own description of its HTTP side, /openapi.json, for people: routes, what they take, what they answer.

import { at, element } from "../elements.js";

const code = text => element("code", {}, text);
const table = rows => element("table", {}, ...rows.map(cells => element("tr", {}, ...cells.map(cell => element("td", {}, ...cell)))));
const titled = (title, rows) => (rows.length ? [element("h4", {}, title), table(rows)] : []);

// What a value may be: names of kinds, and links to the objects that are described below.
function kind(schema = {}) {
  if (schema.$ref) {
    const name = schema.$ref.split("/").at(-1);
    return [element("a", { href: `#${name}` }, name)];
  }
  if (schema.enum) return [schema.enum.map(value => JSON.stringify(value)).join(" or ")];
  if (schema.anyOf) return schema.anyOf.flatMap((one, n) => [...(n ? [" or "] : []), ...kind(one)]);
  if (schema.type === "array") return ["a list of ", ...kind(schema.items)];
  if (schema.additionalProperties) return ["names with ", ...kind(schema.additionalProperties)];
  return [schema.format ?? schema.type ?? "anything"];
}

const content = ({ content = {} }) => Object.entries(content).flatMap(([type, { schema }], n) => [...(n ? ["; "] : []), code(type), " ", ...kind(schema)]);

function parameter({ name, required, schema, description }) {
  const preset = schema?.default === undefined ? [] : ["; unless given ", code(JSON.stringify(schema.default))];
  return [[code(name)], [...kind(schema), ...(required ? [", needed"] : preset)], [description ?? ""]];
}

function route(path, method, { summary = "", description = "", parameters = [], requestBody, responses = {} }) {
  return element("section", {},
    element("h3", {}, code(`${method.toUpperCase()} ${path}`)),
    element("p", {}, summary), element("p", {}, description),
    ...titled("In the query", parameters.map(parameter)),
    ...titled("Body", requestBody ? [[content(requestBody), [], [requestBody.description ?? ""]]] : []),
    ...titled("Answers", Object.entries(responses).map(([status, answer]) => [[code(status)], content(answer), [answer.description ?? ""]])));
}

function object([name, { description = "", properties = {} }]) {
  const rows = Object.entries(properties).map(([field, schema]) => [[code(field)], kind(schema), [schema.description ?? ""]]);
  return element("section", { id: name }, element("h3", {}, name), element("p", {}, description), table(rows));
}

const answer = await fetch("/openapi.json");
const described = await answer.json();
at("routes").append(...Object.entries(described.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, each]) => route(path, method, each))));
at("objects").append(...Object.entries(described.components?.schemas ?? {}).map(object));
document.body.dataset.state = "shown";
