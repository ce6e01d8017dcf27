// What marks the classes of this library in its shared object, and the namespace of its interface:
// millrace::v0, which programs call millrace. Another version of the interface would be another
// namespace, so that one of the two cannot be taken for the other when a program is linked.
#pragma once

#define MILLRACE_API __attribute__((visibility("default")))
#define MILLRACE_HIDDEN __attribute__((visibility("hidden")))

// The library's own sources, where millrace has names of its own, define MILLRACE_INSIDE.
#ifdef MILLRACE_INSIDE
#define MILLRACE_INLINE
#else
#define MILLRACE_INLINE inline
#endif
