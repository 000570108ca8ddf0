// A plugin of Swagger UI: the fields of a request start with what the specification says, and are sent as they stand.
//
// By itself Swagger UI invents a value for each field, and sends all of them. It reads each text of a form as JSON, so
// that "1.0" is sent as 1 and 9007199254740993 as 9007199254740992, and says nothing of a file that is missing.
"use strict";

// A longer answer is shown as Swagger UI does: it is read each time that the page is drawn.
const MOST_CHARACTERS = 1_000_000;

const SCALARS = ["string", "number", "integer", "boolean"];

const types = (schema) => [schema?.get?.("type") ?? []].flatMap((type) => type?.toJS?.() ?? type);
const isScalar = (schema) => types(schema).some((type) => SCALARS.includes(type));
const isPlain = (schema) => isScalar(schema) || (types(schema).includes("array") && isScalar(schema.get("items")));
// What a form says as it is meant. It makes two characters of the end of a line, and a text of what is none.
const isFaithful = (schema) => isPlain(schema) && !/[\r\n]/.test(schema.get("default"));
const hasDefault = (schema) => (schema?.get?.("default") ?? null) !== null;

const takesEmpty = (schema) =>
  types(schema).includes("string") && !["enum", "format", "pattern", "minLength"].some((key) => schema.has(key));

// A form cannot say null, and Swagger UI has no field for what may be null or something else.
const withoutNull = (schema) => {
  const [type, ...more] = types(schema).filter((each) => each !== "null");
  const single = type && !more.length ? schema.set("type", type) : schema;
  return ["enum", "items"].reduce(
    (changed, key) =>
      !changed?.has?.(key)
        ? changed
        : changed.update(key, (value) => (key === "enum" ? value.filter((each) => each !== null) : withoutNull(value))),
    single,
  );
};

// What a field starts with: its default, or nothing. Numbers are texts, as Swagger UI shows no 0.
const initial = (schema) => {
  const value = schema.default ?? (schema.type === "array" || schema.type?.includes?.("array") ? [] : "");
  return Array.isArray(value) ? value.map((item) => (Object(item) === item ? item : String(item))) : value;
};

// The properties of a body that its first text has: those that it needs, and those with a default that it can say.
const isSaid = (schema) =>
  hasDefault(schema) && (typeof schema.get("default") !== "string" || !types(schema).length || types(schema).includes("string"));
const needed = (schema, sample) =>
  schema.has("properties")
    ? schema.update("properties", (properties) =>
        properties
          .filter((each, name) => schema.get("required")?.includes(name) || isSaid(each))
          .map((each) => withExample(each, sample)),
      )
    : schema;

// Swagger UI's own example has null for each item of a tuple, and for what may be anything.
const withExample = (schema, sample) => {
  if (hasDefault(schema) || schema.has("examples")) {
    return schema;
  }
  if (schema.has("prefixItems")) {
    return schema.set("examples", [schema.get("prefixItems").toJS().map(sample)]);
  }
  return schema.has("not") && !schema.has("type") ? schema.set("examples", ["string"]) : schema;
};

// Texts that are the JSON of the texts that are meant, for the reader above.
const asJson = (value) => {
  const items = Array.isArray(value) ? value : [value];
  if (items.some((item) => item instanceof Blob)) {
    return value;
  }
  const texts = items.map((item) => (Object(item) === item ? JSON.stringify(item) : String(item ?? "")));
  return JSON.stringify(Array.isArray(value) ? texts : texts[0]);
};

const asWritten = (options) => {
  const { requestBody } = options;
  if (Object(requestBody) !== requestBody || requestBody instanceof Blob) {
    return options;
  }
  const written = Object.entries(requestBody).map(([name, value]) => [name, asJson(value)]);
  return { ...options, requestBody: Object.fromEntries(written) };
};

// A number that JavaScript cannot hold stays the text that it was. Browsers without `source` round it, as ever.
const exactNumbers = (key, value, context) =>
  typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value)
    ? (context?.source ?? value)
    : value;

// An answer in JSON with its numbers as they came; undefined for another, and where Swagger UI shows the same.
const exactAnswer = ({ content, contentType, headers }) => {
  const isShort = typeof content === "string" && content.length < MOST_CHARACTERS;
  if (!isShort || !/json/i.test(contentType) || headers?.["content-disposition"]) {
    return undefined;
  }
  const exact = (key, value, context) =>
    typeof value === "number" && context?.source ? JSON.rawJSON(context.source) : value;
  try {
    const [written, rounded] = [JSON.parse(content, exact), JSON.parse(content)].map((each) => JSON.stringify(each, null, "  "));
    return written === rounded ? undefined : written;
  } catch {
    return undefined;
  }
};

// Of an answer without a name, Swagger UI saves the file under its type and addresses; the browser adds a suffix.
const withFilename = (headers) => {
  const disposition = headers?.["content-disposition"] ?? "inline";
  return /filename/i.test(disposition)
    ? headers
    : { ...headers, "content-disposition": `${disposition}; filename="response"` };
};

// The texts of headers, in UTF-8: for fetch each character is one byte.
const asBytes = (headers) =>
  Object.fromEntries(
    Object.entries(headers ?? {}).map(([name, text]) => [
      name,
      String.fromCharCode(...new TextEncoder().encode(String(text))),
    ]),
  );

// By the last header the server knows that the browser need not ask for a token: the page does.
// eslint-disable-next-line no-unused-vars -- swagger-init.js uses it
const withOwnHeaders = (request) => {
  const own = (headers) => ({ ...asBytes(headers), "X-Requested-With": "XMLHttpRequest" });
  return Object.assign(request, { userFetch: (url, options) => fetch(url, { ...options, headers: own(options.headers) }) });
};

// Of an item of a list, Swagger UI has an object with its place around the text.
const told = (problem) => (Object(problem) === problem ? told(problem.error) : String(problem));

const showFirstProblem = () =>
  setTimeout(() => document.querySelector(".field-problem")?.scrollIntoView({ block: "center" }), 100);

// eslint-disable-next-line no-unused-vars -- swagger-init.js uses it
const ExactFields = () => ({
  afterLoad({ fn: { getSampleSchema, buildRequest, execute } }) {
    Object.assign(this.fn, {
      getSampleSchema: (schema, type, config, ...example) => {
        if (!config?.includeWriteOnly) {
          return getSampleSchema(schema, type, config, ...example);
        }
        // Of a whole body Swagger UI asks with an example, undefined too; of a field without.
        return example.length
          ? getSampleSchema(needed(schema, (item) => getSampleSchema(item, "", config)), type, config, ...example)
          : initial(schema?.toJS?.() ?? schema ?? {});
      },
      buildRequest: (options) => buildRequest(asWritten(options)),
      execute: (options) => execute(asWritten(options)),
    });
  },
  wrapComponents: {
    JsonSchemaForm: (Original, { React }) => (props) => {
      const { schema, errors } = props;
      const [problem] = errors?.toJS?.() ?? [];
      const example = schema?.getIn?.(["examples", 0]);
      const own = {
        schema: withoutNull(schema),
        description: Object(example) === example ? props.description : (example ?? props.description),
        // Swagger UI offers no empty choice where a value is required: it seems to be made. Of several, each can be undone.
        required: types(schema).includes("array"),
        // True: its value is sent as it stands. Undefined: only once it is changed, before the model has its own default.
        ...(props.dispatchInitialValue && {
          dispatchInitialValue: hasDefault(schema) && (isFaithful(schema) || undefined),
        }),
      };
      return React.createElement(
        "div",
        { className: takesEmpty(schema) ? "takes-empty" : "" },
        React.createElement(Original, { ...props, ...own }),
        problem && React.createElement("div", { className: "field-problem", role: "alert" }, told(problem)),
      );
    },
    responseBody: (Original, { React, getComponent }) => (props) => {
      const { content } = props;
      const [player] = (content instanceof Blob && /^(audio|video)(?=\/)/i.exec(props.contentType)) || [];
      const src = React.useMemo(() => player && URL.createObjectURL(content), [content, player]);
      const text = exactAnswer(props);
      if (!player && text === undefined) {
        return React.createElement(Original, { ...props, headers: withFilename(props.headers) });
      }
      const json = { language: "json", downloadable: true, fileName: "response.json", canCopy: true };
      return React.createElement(
        "div",
        null,
        React.createElement("h5", null, "Response body"),
        player
          ? React.createElement(player.toLowerCase(), { controls: true, src })
          : React.createElement(getComponent("HighlightCode", true), json, text),
      );
    },
    ParameterIncludeEmpty: (Original, { React }) => (props) =>
      React.createElement(Original, {
        ...props,
        isIncludedOptions: { ...props.isIncludedOptions, defaultValue: false },
      }),
  },
  statePlugins: {
    spec: {
      wrapActions: {
        // Called where a request is not sent, of which Swagger UI says nothing.
        clearValidateParams: (original) => (operation) => {
          showFirstProblem();
          return original(operation);
        },
        updateSpec: (original) => (text) => original(JSON.stringify(JSON.parse(text, exactNumbers))),
      },
    },
  },
});
