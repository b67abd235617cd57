"""Colour: conversion, linear light and tone mapping."""
