/* proxy/config/secret.c - passwords and secrets from files of their own. See reader.h. */
#include "proxy/config/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECRET_MAX = 4096 };

/* name as it is, or in the folder of the configuration file when relative. */
static bool resolve(const char *config_path, const char *name, char *out, size_t cap)
{
	const char *slash = strrchr(config_path, '/');
	int n;

	if (name[0] == '/' || slash == NULL)
		n = snprintf(out, cap, "%s", name);
	else
		n = snprintf(out, cap, "%.*s/%s", (int)(slash - config_path), config_path,
			name);
	return n > 0 && (size_t)n < cap;
}

enum dia_rc dia_cfg_secret_file(
	struct dia_cfg_reader *r, yaml_node_t *node, const char *key, const char **ret)
{
	char path[PATH_MAX], bytes[SECRET_MAX + 2];
	const char *name;
	struct dia_slice copy;
	struct stat st;
	ssize_t n = 0;
	size_t len = 0;
	int fd = -1;
	enum dia_rc rc = dia_cfg_text(r, node, key, &name);

	if (rc != DIA_OK)
		return rc;
	if (!resolve(r->path, name, path, sizeof(path)))
		return dia_cfg_fail(
			r, node, "`%s`: the path is empty or too long; correct it", key);
	/* Not blocking: the name may be a pipe's by mistake. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) != 0) {
		rc = dia_cfg_fail(r, node,
			"`%s`: cannot read %s: %s; correct the path or its permissions",
			key, path, strerror(errno));
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		rc = dia_cfg_fail(
			r, node, "`%s`: %s is not a file; name a file", key, path);
		goto out;
	}
	while (len <= SECRET_MAX && (n = read(fd, bytes + len, SECRET_MAX + 1 - len)) > 0)
		len += (size_t)n;
	if (n < 0) {
		rc = dia_cfg_fail(r, node, "`%s`: cannot read %s: %s; correct it", key,
			path, strerror(errno));
		goto out;
	}
	if (len > 0 && len <= SECRET_MAX && bytes[len - 1] == '\n')
		len--;
	if (len > 0 && len <= SECRET_MAX && bytes[len - 1] == '\r')
		len--;
	if (len == 0 || len > SECRET_MAX || memchr(bytes, 0, len) != NULL) {
		rc = dia_cfg_fail(r, node,
			"`%s`: %s is empty, longer than %d bytes or contains NUL; write "
			"the secret "
			"into it as one line",
			key, path, SECRET_MAX);
		goto out;
	}
	bytes[len] = 0;
	copy = dia_arena_dup(&r->config->arena, dia_slice_of(bytes, len + 1));
	if (copy.data == NULL) {
		rc = dia_cfg_nomem(r);
		goto out;
	}
	*ret = (const char *)copy.data;
	if ((st.st_mode & S_IROTH) != 0)
		rc = dia_cfg_warn(r, node,
			"%s can be read by everybody on this machine; chmod 600 %s", path,
			path);
out:
	explicit_bzero(bytes, sizeof(bytes));
	if (fd >= 0)
		(void)close(fd);
	return rc;
}
