/* The version of BrainMM, for the preprocessor and for people. Semantic versioning: another major may break the ABI. */
#ifndef BRAINMM_VERSION_H
#define BRAINMM_VERSION_H

#define BMM_VERSION_MAJOR 0
#define BMM_VERSION_MINOR 1
#define BMM_VERSION_PATCH 0
#define BMM_VERSION_STRING "0.1.0"

#endif
