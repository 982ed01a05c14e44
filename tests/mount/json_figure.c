/* SPDX-License-Identifier: MIT */
/*
 * json_figure.c: print one value of the JSON object on standard input.
 * Usage: json_figure KEY, as in credit.used_bytes or levels.0.files
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const json_t *step(const json_t *value, const char *name)
{
	if (json_is_array(value))
		return json_array_get(value, strtoul(name, NULL, 10));
	return json_object_get(value, name);
}

static int print(const json_t *value, const char *key)
{
	if (json_is_integer(value))
		printf("%lld\n", (long long)json_integer_value(value));
	else if (json_is_string(value))
		printf("%s\n", json_string_value(value));
	else if (json_is_boolean(value))
		printf("%s\n", json_is_true(value) ? "true" : "false");
	else if (json_is_array(value))
		printf("%zu\n", json_array_size(value));
	else
		return fprintf(stderr, "no value at %s\n", key), 1;
	return 0;
}

int main(int argc, char **argv)
{
	const json_t *value;
	json_error_t error;
	json_t *root;
	char *names;
	int code;

	if (argc != 2)
		return fputs("usage: json_figure KEY <JSON\n", stderr), 2;
	root = json_loadf(stdin, 0, &error);
	if (root == NULL)
		return fprintf(stderr, "no JSON: %s\n", error.text), 1;

	names = strdup(argv[1]);
	value = root;
	for (char *name = strtok(names, "."); name != NULL && value != NULL;
	     name = strtok(NULL, "."))
		value = step(value, name);
	code = print(value, argv[1]);
	free(names);
	json_decref(root);
	return code;
}
